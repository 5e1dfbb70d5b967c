"""Reading memberships: of one customer in no time, of many, of a whole segment, now and at any past instant."""
