"""Settlement files: each module reads one format into the rows of `model`. Pure; nothing of a file is trusted."""
