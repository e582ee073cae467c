"""What every floor may use: text, validation, token bucket."""
