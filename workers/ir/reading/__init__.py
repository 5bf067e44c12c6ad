"""From an uploaded file to a model in plain form, or to a refusal that says what is wrong with it."""
