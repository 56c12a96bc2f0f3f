"""What one trial does: data, models, weights, training. Import the module you need."""
