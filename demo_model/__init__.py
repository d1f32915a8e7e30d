"""Makes the bundled demo model: drawings, captions, training, evaluation."""
