"""Published scores that need no learning, to be printed beside a model's."""
