# Seconds that lm + segmented::segmented take for one refit of one break, mean over the curves of a CSV.
# Rscript benchmarks/breakpoint_refits.R CURVES.csv   (first row the doses, each further row a curve)
# Prints: segmented version, refits, refits that failed, mean seconds of a refit
# by the clock and of the processor, and per curve the residual sum of squares.
suppressMessages(library(segmented))
table <- as.matrix(read.csv(commandArgs(trailingOnly = TRUE)[1], header = FALSE))
x <- unname(table[1, ])
curves <- unname(table[-1, , drop = FALSE])
refit <- function(y) {
  fit <- tryCatch(suppressWarnings(segmented(lm(y ~ x), seg.Z = ~x)), error = function(e) NULL)
  if (inherits(fit, "segmented")) sum(residuals(fit)^2) else NA
}
set.seed(1)
invisible(refit(curves[1, ]))
time <- system.time(left <- apply(curves, 1, refit))
seconds <- c(time[["elapsed"]], time[["user.self"]] + time[["sys.self"]]) / length(left)
cat(as.character(packageVersion("segmented")), length(left), sum(is.na(left)), seconds, "\n")
cat(formatC(left, digits = 15, format = "g"), "\n")
