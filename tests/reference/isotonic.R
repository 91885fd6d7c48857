# stats::isoreg, and from it the plateau and the core fraction written out, on mean curves on our grid of rates.
# Run from the root of the repository: Rscript tests/reference/isotonic.R
set.seed(20240502)
rates <- c(0.2, 0.4, 0.6, 0.8, 1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9, 10, 12, 15,
           20, 30, 40, 50, 60, 70, 80, 90) / 100
shapes <- list(
  kink = function(x) pmin(x / 0.033, 1), curved = function(x) 1 - exp(-x / 0.05), falls_late = function(x) dgamma(x, 2, 5),
  below_zero_first = function(x) x - 0.02, straight = function(x) x)
curves <- do.call(rbind, lapply(names(shapes), function(name) do.call(rbind, lapply(c(0.02, 0.2), function(noise) {
  effect <- round(shapes[[name]](rates) + rnorm(length(rates), 0, noise), 6)
  curve <- paste(name, noise)
  data.frame(curve = curve, rate = rates, effect = effect, isotonic = isoreg(rates, effect)$yf)
}))))
curves$isotonic <- signif(curves$isotonic, 15)
write.csv(curves, "tests/reference/isotonic.csv", row.names = FALSE)

# The plateau is the mean over 10 to 90 % of the curve, linear between rates; the core fraction is the first rate at which
# the isotonic curve through (0, 0), linear between rates, reaches a share of it.
core <- function(curve, share) {
  use <- curves[curves$curve == curve, ]
  inside <- use[use$rate >= 0.1, ]
  plateau <- sum(diff(inside$rate) * (head(inside$effect, -1) + tail(inside$effect, -1)) / 2) / 0.8
  x <- c(0, use$rate)
  y <- c(0, pmax(use$isotonic, 0))
  level <- share * plateau
  to <- which(y >= level)[1]
  fraction <- if (level <= 0 || is.na(to)) NA else x[to - 1] + (level - y[to - 1]) / (y[to] - y[to - 1]) * (x[to] - x[to - 1])
  data.frame(curve = curve, share = share, plateau = signif(plateau, 15), core_fraction = signif(fraction, 15))
}
cases <- expand.grid(share = c(0.5, 0.8, 0.9), curve = unique(curves$curve), stringsAsFactors = FALSE)
write.csv(do.call(rbind, Map(core, cases$curve, cases$share)), "tests/reference/isotonic_core.csv", row.names = FALSE)
