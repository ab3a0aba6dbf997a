"""Which plugins there are, what they register, and what is known of those not installed."""
