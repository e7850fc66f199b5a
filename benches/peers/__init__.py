"""minilm beside the engines that people would use instead, on the same texts: README.md."""
