"""From facts, a wish and debts to steps: pure, so that what is printed is what is done."""
