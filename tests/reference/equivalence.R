# Two one-sided tests (Schuirmann 1987) over documents: t.test on document means where documents are of one size, and the
# intercept of lm with a cluster-robust variance, written out and by sandwich::vcovCL, where they are not.
# Run from the root of the repository: Rscript tests/reference/equivalence.R
suppressMessages(library(sandwich))
set.seed(20240504)
rates <- c(0.1, 0.5, 0.9)
simulate <- function(set, sizes) do.call(rbind, lapply(c("low", "high"), function(layer) {
  document <- rep(seq_along(sizes), sizes)
  level <- rnorm(length(sizes), 0, 0.3)[document] + rnorm(length(document), 0, 0.2)
  slope <- (if (layer == "low") 0.02 else 0.1) + rnorm(length(sizes), 0, 0.1)[document]
  rows <- expand.grid(rate = rates, prompt_id = seq_along(document))
  rows$document_id <- document[rows$prompt_id]
  rows$effect <- round(level[rows$prompt_id] + slope[rows$prompt_id] * rows$rate + rnorm(nrow(rows), 0, 0.05), 6)
  cbind(set = set, layer = layer, rows)
}))
data <- rbind(simulate("equal", rep(3, 15)), simulate("unequal", rep(c(1, 2, 5), 6)))
write.csv(data, "tests/reference/equivalence_data.csv", row.names = FALSE)

test <- function(set, layer, margin) {
  rows <- data[data$set == set & data$layer == layer, ]
  difference <- rows$effect[rows$rate == 0.9] - rows$effect[rows$rate == 0.1]
  document <- rows$document_id[rows$rate == 0.9]
  if (set == "equal") {
    means <- tapply(difference, document, mean)
    above <- t.test(means, mu = -margin, alternative = "greater")
    below <- t.test(means, mu = margin, alternative = "less")
    plain <- t.test(means, conf.level = 0.9)
    estimate <- unname(plain$estimate)
    std_error <- plain$stderr
    limits <- plain$conf.int
    statistic <- min(above$statistic, -below$statistic)
    p_value <- max(above$p.value, below$p.value)
  } else {
    fit <- lm(difference ~ 1)
    sums <- tapply(residuals(fit), document, sum)
    clusters <- length(sums)
    std_error <- sqrt(sum(sums^2) * clusters / (clusters - 1)) / length(difference)
    stopifnot(all.equal(std_error, sqrt(vcovCL(fit, document, type = "HC0", cadjust = TRUE)[1, 1])))
    estimate <- unname(coef(fit))
    limits <- estimate + c(-1, 1) * qt(0.95, clusters - 1) * std_error
    statistic <- min((estimate + margin) / std_error, (margin - estimate) / std_error)
    p_value <- pt(statistic, clusters - 1, lower.tail = FALSE)
  }
  data.frame(set = set, layer = layer, margin = margin, estimate = estimate, std_error = std_error,
             statistic = statistic, p_value = p_value, conf_low = limits[1], conf_high = limits[2])
}
cases <- expand.grid(margin = c(0.02, 0.05, 0.1, 0.2), layer = c("low", "high"), set = c("equal", "unequal"),
                     stringsAsFactors = FALSE)
results <- do.call(rbind, Map(test, cases$set, cases$layer, cases$margin))
numbers <- setdiff(names(results), c("set", "layer", "margin"))
results[numbers] <- lapply(results[numbers], signif, 15)
write.csv(results, "tests/reference/equivalence.csv", row.names = FALSE)
