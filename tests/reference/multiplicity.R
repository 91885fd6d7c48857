# Reference values for tests/reference/test_multiplicity.py.
# Run from the repository root: Rscript tests/reference/multiplicity.R
# Base R: p.adjust, and Westfall & Young's step-down max-T (1993, algorithm 4.1) and min-p (2.8) written as plain loops.
set.seed(20260101)
folder <- "tests/reference"

p_values <- c(runif(12), runif(6, 0, 0.01), 0.2, 0.2, 1, 0)
write.csv(
  data.frame(p = p_values, holm = p.adjust(p_values, "holm"), bh = p.adjust(p_values, "BH")),
  file.path(folder, "multiplicity_p.csv"), row.names = FALSE
)

n_samples <- 199
m <- 8
shared <- rnorm(n_samples)
replicates <- round(sapply(seq_len(m), function(j) (0.6 * shared + 0.8 * rnorm(n_samples)) * j), 6)
statistics <- c(3.5, 5.2, 1.1, 2.0, 14.8, -3.0, 14.0, 9.9)

step_down <- function(statistics, replicates) {
  order_of <- order(statistics, decreasing = TRUE)
  adjusted <- numeric(length(statistics))
  before <- 0
  for (place in seq_along(order_of)) {
    left <- order_of[place:length(order_of)]
    count <- 0
    for (b in seq_len(nrow(replicates))) {
      if (max(replicates[b, left]) >= statistics[order_of[place]]) count <- count + 1
    }
    before <- max(before, (1 + count) / (1 + nrow(replicates)))
    adjusted[order_of[place]] <- before
  }
  adjusted
}

# Min-p: every statistic, observed or resampled, becomes minus its p-value among all of its hypothesis.
everything <- rbind(statistics, replicates)
minus_p <- -sapply(seq_len(m), function(j) sapply(everything[, j], function(one) mean(everything[, j] >= one)))
write.csv(
  data.frame(
    statistic = statistics,
    max_t = step_down(statistics, replicates),
    min_p = step_down(minus_p[1, ], minus_p[-1, ])
  ),
  file.path(folder, "multiplicity_step_down.csv"), row.names = FALSE
)
write.csv(replicates, file.path(folder, "multiplicity_replicates.csv"), row.names = FALSE)
