# Reference fits of nlme::lme on the data of lmer.R. Run from the repository's root, after lmer.R:
#   Rscript tests/reference/nlme.R
# It writes nlme.csv: a row a model and term, with the restricted log-likelihood and the variances as terms.
suppressMessages(library(nlme))
all <- read.csv("tests/reference/lmer_data.csv")
control <- lmeControl(opt = "optim", msMaxIter = 500, reltol = 1e-12)
rows <- function(model, fit, sds) {
  fixed <- summary(fit)$tTable
  rbind(
    data.frame(model, term = rownames(fixed), estimate = fixed[, "Value"], std_error = fixed[, "Std.Error"]),
    data.frame(model, term = c(names(sds), "sd residual", "log-likelihood"),
               estimate = c(unname(sds), fit$sigma, as.numeric(logLik(fit))), std_error = NA))
}
prompts <- subset(all, case == "prompts")
slope <- lme(effect ~ below + above, prompts, random = ~ 1 + below | prompt, control = control)
sd <- sqrt(diag(getVarCov(slope)))
nested <- subset(all, case == "documents" & layer == 1)
two <- lme(effect ~ below + above, nested, random = ~ 1 | document/prompt, control = control)
spread <- as.numeric(VarCorr(two)[c(2, 4), "StdDev"])
found <- rbind(
  rows("prompts", slope, c("sd prompt Intercept" = sd[[1]], "sd prompt below" = sd[[2]])),
  rows("documents", two, c("sd document Intercept" = spread[1], "sd prompt Intercept" = spread[2])))
found$term <- sub("(Intercept)", "Intercept", found$term, fixed = TRUE)
options(digits = 12)
write.csv(found, "tests/reference/nlme.csv", row.names = FALSE)
