# Seconds of lme4::lmer and segmented::segmented.lme on the data of mixed_models.py, and their figures.
# Rscript benchmarks/mixed_models.R lmer|segmented CURVES.csv   (columns prompt, x, below, above, y)
# Prints: version, seconds by the clock and of the processor, and below them log-likelihood and fixed effects.
arguments <- commandArgs(trailingOnly = TRUE)
data <- read.csv(arguments[2])
data$prompt <- factor(data$prompt)
if (arguments[1] == "lmer") {
  suppressMessages(library(lme4))
  time <- system.time(fit <- suppressWarnings(lmer(y ~ below + above + (1 + below | prompt), data, REML = TRUE)))
  figures <- c(as.numeric(logLik(fit)), fixef(fit))
  version <- packageVersion("lme4")
} else {
  suppressMessages({library(nlme); library(segmented)})
  time <- system.time({
    line <- lme(y ~ x, random = ~ 1 | prompt, data = data)
    fit <- suppressWarnings(segmented.lme(line, ~ x, psi = 5, random = list(prompt = pdDiag(~ 1 + x + U + G0)),
      control = seg.control(n.boot = 0, display = FALSE, it.max = 40)))
  })
  figures <- c(as.numeric(logLik(fit$lme.fit)), fixef(fit$lme.fit)[["G0"]])
  version <- packageVersion("segmented")
}
cat(as.character(version), time[["elapsed"]], time[["user.self"]] + time[["sys.self"]], "\n")
cat(formatC(figures, digits = 10, format = "g"), "\n")
