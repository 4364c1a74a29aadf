"""The store on PostgreSQL: many processes, on as many machines as there are."""
