"""Several collectors' storage before one PostgreSQL: what a second writer adds."""
