# Seconds of lme4::lmer and segmented::segmented.lme on the data of mixed_models.py, and their figures.
# Rscript benchmarks/mixed_models.R lmer|segmented CURVES.csv   (columns prompt, x, below, above, y)
# Prints: version, seconds by the clock and of the processor, and below them log-likelihood and fixed effects. For
# segmented.lme two such pairs of lines: as its help page calls it (ten bootstrap restarts), and one fit without them.
arguments <- commandArgs(trailingOnly = TRUE)
current <- read.csv(arguments[2])
current$prompt <- factor(current$prompt)
say <- function(version, time, figures) {
  cat(as.character(version), time[["elapsed"]], time[["user.self"]] + time[["sys.self"]], "\n")
  cat(formatC(figures, digits = 10, format = "g"), "\n")
}
if (arguments[1] == "lmer") {
  suppressMessages(library(lme4))
  time <- system.time(fit <- suppressWarnings(lmer(y ~ below + above + (1 + below | prompt), current, REML = TRUE)))
  say(packageVersion("lme4"), time, c(as.numeric(logLik(fit)), fixef(fit)))
} else {
  suppressMessages({library(nlme); library(segmented)})
  set.seed(1)
  for (restarts in c(TRUE, FALSE)) {
    control <- if (restarts) seg.control(display = FALSE) else seg.control(n.boot = 0, display = FALSE)
    time <- system.time({
      line <- lme(y ~ x, random = ~ 1 | prompt, data = current)
      fit <- suppressWarnings(segmented.lme(line, ~ x, psi = 5, random = list(prompt = pdDiag(~ 1 + x + U + G0)),
        control = control))
    })
    say(packageVersion("segmented"), time, c(as.numeric(logLik(fit$lme.fit)), fixef(fit$lme.fit)[["G0"]]))
  }
}
