# Reference fits of lme4 and lmerTest on simulated balanced sweeps. Run from the repository's root:
#   Rscript tests/reference/lmer.R
# It writes lmer_data.csv (one row an observation), lmer_fixed.csv, lmer_random.csv, lmer_fit.csv, lmer_blups.csv.
suppressMessages(library(lmerTest))
options(digits = 15)
set.seed(20240611)

rates <- c(0.2, 0.4, 0.6, 0.8, 1, 1.3, 1.6, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9, 10, 12, 15, 20, 25, 30, 40, 50, 60, 70,
           80, 85, 90)
below <- pmin(rates, 10)
above <- pmax(rates - 10, 0)

curves <- function(case, sizes, layers, document, prompt, slope, layer, noise, cell = 0) {
  documents <- rep(seq_along(sizes), sizes)
  prompts <- seq_along(documents)
  frame <- expand.grid(rate = rates, layer = seq_len(layers), prompt = prompts)
  frame$document <- documents[frame$prompt]
  frame$below <- pmin(frame$rate, 10)
  frame$above <- pmax(frame$rate - 10, 0)
  common <- rnorm(length(prompts))
  starts <- prompt * common
  slopes <- slope * (0.5 * common + sqrt(0.75) * rnorm(length(prompts)))
  frame$effect <- round(0.3 + 0.2 * frame$below + 0.005 * frame$above +
    (document * rnorm(length(sizes)))[frame$document] + starts[frame$prompt] + slopes[frame$prompt] * frame$below +
    (layer * rnorm(layers))[frame$layer] + noise * rnorm(nrow(frame)), 6)
  if (cell > 0) {
    cells <- matrix(cell * rnorm(length(prompts) * layers), ncol = layers)
    steep <- matrix(0.2 * cell * rnorm(length(prompts) * layers), ncol = layers)
    at <- cbind(frame$prompt, frame$layer)
    frame$effect <- round(frame$effect + cells[at] + steep[at] * frame$below, 6)
  }
  cbind(case = case, frame[c("document", "prompt", "layer", "below", "above", "effect")])
}

ones <- rep(1, 24)
sizes <- c(1, 1, 2, 2, 2, 3, 3, 4, 6)
data <- list(
  prompts = curves("prompts", ones, 1, 0, 0.5, 0.08, 0, 0.3),
  crossed = curves("crossed", rep(1, 16), 3, 0, 0.5, 0.08, 0.3, 0.4),
  documents = curves("documents", sizes, 3, 0.4, 0.3, 0.05, 0.2, 0.4),
  boundary = curves("boundary", sizes, 2, 0, 0.4, 0, 0, 0.5),
  cells = curves("cells", c(1, 2, 2, 3, 4), 4, 0.4, 0.3, 0.05, 0.3, 0.3, 0.3)
)
models <- list(
  prompts = list("prompts", effect ~ below + above + (1 + below | prompt)),
  prompts_ml = list("prompts", effect ~ below + above + (1 + below | prompt), FALSE),
  prompts_uncorrelated = list("prompts", effect ~ below + above + (1 + below || prompt)),
  prompts_line = list("prompts", effect ~ below + (1 + below | prompt)),
  crossed = list("crossed", effect ~ below + above + (1 + below | prompt) + (1 | layer)),
  crossed_intercepts = list("crossed", effect ~ below + above + (1 | prompt) + (1 | layer)),
  documents = list("documents", effect ~ below + above + (1 | document) + (1 + below | prompt) + (1 | layer)),
  documents_ml = list("documents", effect ~ below + above + (1 | document) + (1 + below | prompt) + (1 | layer), FALSE),
  documents_slopes = list("documents", effect ~ below + above + (1 + below | document) + (1 | prompt)),
  boundary = list("boundary", effect ~ below + above + (1 | document) + (1 + below | prompt) + (1 | layer)),
  cells = list("cells", effect ~ below + above + (1 | document) + (1 | prompt) + (1 | layer) +
                 (1 + below | prompt:layer))
)

tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e5), calc.derivs = FALSE,
                     check.conv.singular = "ignore")
fixed <- random <- fits <- blups <- NULL
for (name in names(models)) {
  model <- models[[name]]
  reml <- length(model) < 3
  fit <- lmer(model[[2]], data[[model[[1]]]], REML = reml, control = tight)
  table <- coef(summary(fit, ddf = "Satterthwaite"))
  fixed <- rbind(fixed, data.frame(model = name, term = rownames(table), estimate = table[, 1], std_error = table[, 2],
                                   df = table[, 3], t = table[, 4], p_value = table[, 5]))
  random <- rbind(random, data.frame(model = name, as.data.frame(VarCorr(fit))))
  likelihood <- logLik(fit)
  fits <- rbind(fits, data.frame(model = name, data = model[[1]], reml = reml, log_likelihood = as.numeric(likelihood),
                                 n_parameters = attr(likelihood, "df"), singular = isSingular(fit)))
  if (name %in% c("crossed", "documents", "cells")) blups <- rbind(blups, cbind(model = name, as.data.frame(ranef(fit))))
}
out <- function(frame, name) write.csv(frame, file.path("tests/reference", name), row.names = FALSE, quote = FALSE)
out(do.call(rbind, data), "lmer_data.csv")
out(fixed, "lmer_fixed.csv")
out(random, "lmer_random.csv")
out(fits, "lmer_fit.csv")
out(blups[c("model", "grpvar", "term", "grp", "condval")], "lmer_blups.csv")
