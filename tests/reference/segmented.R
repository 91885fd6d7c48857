# lm + segmented::segmented, one and two breaks, on pooled rows of simulated prompts on our grid of rates.
# Run from the root of the repository: Rscript tests/reference/segmented.R
suppressMessages(library(segmented))
set.seed(20240501)
rates <- c(0.2, 0.4, 0.6, 0.8, 1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9, 10, 12, 15,
           20, 30, 40, 50, 60, 70, 80, 90) / 100
line <- function(x, start, slopes, breaks) {
  y <- start + slopes[1] * x
  for (i in seq_along(breaks)) y <- y + (slopes[i + 1] - slopes[i]) * pmax(x - breaks[i], 0)
  y
}
normal <- function(sd) function(n) rnorm(n, 0, sd)
heavy <- function(sd) function(n) sd * rt(n, 2.5)
# What the mean curve is, the noise of a row, and the prompts.
sets <- list(
  clear_kink = list(line(rates, 0.1, c(30, 0.2), 0.033), normal(0.1), 8),
  weak_kink = list(line(rates, 0.1, c(3, 1.5), 0.15), normal(0.3), 12),
  curved = list(1 - exp(-rates / 0.05), normal(0.1), 8),
  heavy_tails = list(line(rates, 0.1, c(30, 0.2), 0.033), heavy(0.2), 12),
  kink_at_a_dose = list(line(rates, 0.1, c(30, 0.2), 0.03), normal(0.02), 4),
  two_kinks = list(line(rates, 0.1, c(30, 4, 0.1), c(0.022, 0.25)), normal(0.05), 8),
  no_kink = list(0.1 + 0.5 * rates, normal(0.2), 8)
)
data <- do.call(rbind, lapply(names(sets), function(name) {
  one <- sets[[name]]
  prompts <- one[[3]]
  level <- rnorm(prompts, 0, 0.2)
  rows <- expand.grid(rate = rates, prompt_id = seq_len(prompts))
  rows$effect <- round(rep(one[[1]], prompts) + level[rows$prompt_id] + one[[2]](nrow(rows)), 6)
  cbind(set = name, rows[, c("prompt_id", "rate", "effect")])
}))
write.csv(data, "tests/reference/segmented_data.csv", row.names = FALSE)

blank <- function(fit, n) c(fit, rep(NA, n - length(fit)))
# The slopes from the coefficients: slope() rounds to five digits. The tolerance is below R's own, for 1e-6 to say
# something; the other settings are R's, its ten restarts included.
refit <- function(name, scale, n_breaks) {
  rows <- data[data$set == name, ]
  rows$x <- if (scale == "log") log(rows$rate) else rows$rate
  start <- lm(effect ~ x, rows)
  set.seed(1)
  control <- seg.control(tol = 1e-12, it.max = 200)
  fit <- tryCatch(segmented(start, seg.Z = ~x, npsi = n_breaks, control = control), error = function(e) NULL)
  found <- inherits(fit, "segmented") && nrow(fit$psi) == n_breaks && !is.unsorted(fit$psi[, "Est."])
  slopes <- if (found) cumsum(coef(fit)[c("x", paste0("U", seq_len(n_breaks), ".x"))]) else numeric(0)
  data.frame(
    set = name, scale = scale, n_breaks = n_breaks, found = found,
    t(setNames(blank(if (found) fit$psi[, "Est."] else numeric(0), 2), c("psi_1", "psi_2"))),
    intercept = if (found) unname(coef(fit)[1]) else NA,
    t(setNames(blank(slopes, 3), c("slope_1", "slope_2", "slope_3"))),
    residual_ss = if (found) sum(residuals(fit)^2) else NA,
    residual_ss_line = sum(residuals(start)^2))
}
cases <- expand.grid(n_breaks = 1:2, scale = c("linear", "log"), set = names(sets), stringsAsFactors = FALSE)
results <- do.call(rbind, Map(refit, cases$set, cases$scale, cases$n_breaks))
numbers <- sapply(results, is.numeric)
results[numbers] <- lapply(results[numbers], signif, 15)
write.csv(results, "tests/reference/segmented.csv", row.names = FALSE)
