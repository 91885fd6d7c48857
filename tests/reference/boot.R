# boot::boot and boot.ci over documents, percentile and BCa, for a smooth statistic (the plateau) and for the break.
# Run from the root of the repository: Rscript tests/reference/boot.R
suppressMessages(library(boot))
set.seed(20240503)
rates <- c(0.2, 0.4, 0.6, 0.8, 1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9, 10, 12, 15,
           20, 30, 40, 50, 60, 70, 80, 90) / 100
n <- 20
prompts <- rep(1:3, length.out = n)
at <- 0.033 + 0.004 * rnorm(n)
curves <- t(sapply(seq_len(n), function(i) {
  level <- rgamma(1, 8, 8)
  round(level * pmin(rates / at[i], 1) + 0.1 * rates + rnorm(1, 0, 0.1) + rnorm(length(rates), 0, 0.08), 6)
}))
documents <- data.frame(document_id = seq_len(n), prompts = prompts, curves)
names(documents)[-(1:2)] <- paste0("rate_", rates)
write.csv(documents, "tests/reference/boot_documents.csv", row.names = FALSE)

# The break by Hudson's exact solution: at each inner rate, and where separate lines cross between two rates.
exact_break <- function(y) {
  left <- function(x) sum(.lm.fit(x, y)$residuals^2)
  m <- length(rates)
  best <- c(Inf, NA)
  for (knot in rates[2:(m - 1)]) {
    rss <- left(cbind(1, rates, pmax(rates - knot, 0)))
    if (rss < best[1]) best <- c(rss, knot)
  }
  for (cut in 2:(m - 2)) {
    low <- seq_along(rates) <= cut
    fit <- .lm.fit(cbind(low, low * rates, 1 - low, (1 - low) * rates), y)
    cross <- (fit$coefficients[1] - fit$coefficients[3]) / (fit$coefficients[4] - fit$coefficients[2])
    rss <- sum(fit$residuals^2)
    if (is.finite(cross) && cross > rates[cut] && cross < rates[cut + 1] && rss < best[1]) best <- c(rss, cross)
  }
  best[2]
}
statistic <- function(data, i) {
  weights <- data$prompts[i]
  y <- colSums(weights * as.matrix(data[i, -(1:2)])) / sum(weights)
  inside <- rates >= 0.1
  x <- rates[inside]
  plateau <- sum(diff(x) * (head(y[inside], -1) + tail(y[inside], -1)) / 2) / 0.8
  c(plateau, exact_break(y))
}
b <- boot(documents, statistic, R = 399)
write.table(boot.array(b, indices = TRUE), "tests/reference/boot_indices.csv", sep = ",", row.names = FALSE,
            col.names = FALSE)
write.csv(data.frame(plateau = signif(b$t[, 1], 15), threshold = signif(b$t[, 2], 15)),
          "tests/reference/boot_replicates.csv", row.names = FALSE)
# The influence values of BCa from the jackknife, around their mean (Efron 1987); boot's default is a regression of the
# replicates on the frequencies, and its own jackknife is not centred.
intervals <- do.call(rbind, lapply(1:2, function(index) {
  jackknife <- empinf(b, index = index, type = "jack")
  ci <- boot.ci(b, conf = 0.95, index = index, type = c("perc", "bca"), L = jackknife - mean(jackknife))
  data.frame(term = c("plateau", "threshold")[index], estimate = b$t0[index], std_error = sd(b$t[, index]),
             method = c("percentile", "bca"),
             rank_low = c(ci$percent[2], ci$bca[2]), rank_high = c(ci$percent[3], ci$bca[3]),
             conf_low = c(ci$percent[4], ci$bca[4]), conf_high = c(ci$percent[5], ci$bca[5]))
}))
for (name in c("estimate", "std_error", "conf_low", "conf_high")) intervals[[name]] <- signif(intervals[[name]], 15)
write.csv(intervals, "tests/reference/boot_intervals.csv", row.names = FALSE)
