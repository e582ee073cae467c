"""Reading of logs, whole or damaged, into columns."""
