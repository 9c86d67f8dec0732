"""The page: one file a tab, joining core to components, and `app`, which assembles them."""
