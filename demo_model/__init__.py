"""How the bundled demo model is made: drawings, captions, training, evaluation."""
