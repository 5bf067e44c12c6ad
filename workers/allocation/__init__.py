"""Which layer gets which share of a recipe's budget, and what each layer costs and saves."""
