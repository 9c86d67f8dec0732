"""The page: one file per tab, joining core to components, and `app`, which assembles them."""
