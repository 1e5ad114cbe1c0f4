"""The real parts that tests run against: building them, starting them, waiting for them."""
