# Segmented mixed models of simulated sweeps by segmented.lme (package segmented), to hold ours against.
# Run from the repository's root: Rscript tests/reference/segmented_lme.R
# Writes segmented_lme_data.csv (prompts x rates), segmented_lme_fits.csv (its estimates) and segmented_lme_time.csv.
suppressMessages({library(nlme); library(segmented)})

rates <- c(.2, .4, .6, .8, 1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9, 10, 12, 15, 20,
           30, 40, 50, 60, 70, 80, 90)
n <- 48

simulate <- function(seed, psi, tau, noise) {
  set.seed(seed)
  breaks <- rnorm(n, psi, tau)
  intercept <- .1 + .2 * rnorm(n)
  below <- (1 + .3 * rnorm(n)) / psi
  change <- (-1 + .15 * rnorm(n)) / psi
  rows <- lapply(seq_len(n), function(p) {
    y <- intercept[p] + below[p] * rates + change[p] * pmax(rates - breaks[p], 0) + noise * rnorm(length(rates))
    data.frame(prompt = p, rate = rates, effect = y)
  })
  do.call(rbind, rows)
}

# The fit is repeated from several starts and the one with the largest likelihood of its working model kept.
fit <- function(data, start, method) {
  assign("current", data, envir = globalenv())
  line <- lme(effect ~ rate, random = ~ 1 | prompt, data = current, method = method)
  assign("line", line, envir = globalenv())
  tryCatch(suppressWarnings(segmented.lme(
    line, ~ rate, psi = start, random = list(prompt = pdDiag(~ 1 + rate + U + G0)),
    control = seg.control(n.boot = 0, display = FALSE, it.max = 40))), error = function(e) NULL)
}

cases <- data.frame(case = c("low", "middle", "high"), seed = 1:3, psi = c(2, 5, 10), tau = c(.5, 1.25, 2.5),
                    noise = c(.1, .1, .2))
data <- list(); fits <- list()
for (i in seq_len(nrow(cases))) {
  one <- with(cases[i, ], simulate(seed, psi, tau, noise))
  data[[i]] <- cbind(case = cases$case[i], one)
  for (method in c("ML", "REML")) {
    for (start in cases$psi[i] * c(.6, 1, 1.6)) {
      seconds <- system.time(found <- fit(one, start, method))[["elapsed"]]
      if (is.null(found)) {
        fits[[length(fits) + 1]] <- data.frame(case = cases$case[i], method, start, seconds, loglik = NA,
          threshold = NA, intercept = NA, slope_below = NA, slope_change = NA, sd_intercept = NA,
          sd_slope_below = NA, sd_slope_change = NA, threshold_sd = NA, residual = NA)
        next
      }
      model <- found$lme.fit
      fixed <- fixef(model)
      sd <- as.numeric(VarCorr(model)[, "StdDev"])
      fits[[length(fits) + 1]] <- data.frame(case = cases$case[i], method, start, seconds,
        loglik = as.numeric(logLik(model)), threshold = fixed[["G0"]], intercept = fixed[["(Intercept)"]],
        slope_below = fixed[["rate"]], slope_change = fixed[["U"]], sd_intercept = sd[1], sd_slope_below = sd[2],
        sd_slope_change = sd[3], threshold_sd = sd[4], residual = sd[5])
    }
  }
}
all <- do.call(rbind, data)
all$effect <- signif(all$effect, 8)
write.csv(all, "tests/reference/segmented_lme_data.csv", row.names = FALSE)
write.csv(do.call(rbind, fits), "tests/reference/segmented_lme_fits.csv", row.names = FALSE)

# The time of one call as its help page shows it: with the ten bootstrap restarts that are its default.
one <- data[[1]]
assign("current", one, envir = globalenv())
seconds <- system.time({
  line <- lme(effect ~ rate, random = ~ 1 | prompt, data = current, method = "REML")
  found <- suppressWarnings(segmented.lme(line, ~ rate, psi = 2, random = list(prompt = pdDiag(~ 1 + rate + U + G0))))
})[["user.self"]]
write.csv(data.frame(case = "low", method = "REML", seconds, loglik = as.numeric(logLik(found$lme.fit))),
          "tests/reference/segmented_lme_time.csv", row.names = FALSE)
