# segmented::davies.test on lm (and glm, for type = "lrt" and "wald") of the rows of segmented_data.csv.
# Run from the root of the repository, after segmented.R: Rscript tests/reference/davies.R
suppressMessages(library(segmented))
data <- read.csv("tests/reference/segmented_data.csv")
one <- function(name, rows, k, alternative, model, type) {
  use <- data[data$set == name, ]
  if (rows == "means") use <- aggregate(effect ~ rate, use, mean)
  if (rows == "few") use <- use[use$prompt_id <= 4, ]
  fit <- if (model == "lm") lm(effect ~ rate, use) else glm(effect ~ rate, data = use)
  test <- davies.test(fit, ~rate, k = k, alternative = alternative, type = type)
  at <- test$process[, "psi.values"] == test$statistic
  data.frame(set = name, rows = rows, n = nrow(use), k = k, alternative = alternative, model = model, type = type,
             best = unname(test$statistic), statistic = unname(test$process[at, "stat.values"]),
             tried = unname(test$parameter), p_value = test$p.value)
}
sets <- unique(data$set)
# R bounds a t statistic up to 300 rows and a normal one beyond.
plain <- expand.grid(alternative = c("two.sided", "less", "greater"), k = c(10, 25), rows = c("means", "few", "all"),
                     set = sets, model = "lm", type = "lrt", stringsAsFactors = FALSE)
# Beyond, an lm and a Gaussian glm of either type are to agree.
types <- expand.grid(alternative = "two.sided", k = 10, rows = "all", set = c("weak_kink", "heavy_tails"),
                     model = c("lm", "glm"), type = c("lrt", "wald"), stringsAsFactors = FALSE)
cases <- rbind(plain, types)
results <- do.call(rbind, Map(one, cases$set, cases$rows, cases$k, cases$alternative, cases$model, cases$type))
for (name in c("best", "statistic", "p_value")) results[[name]] <- signif(results[[name]], 15)
write.csv(results, "tests/reference/davies.csv", row.names = FALSE)
