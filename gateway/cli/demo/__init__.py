"""`gateway demo`: a gateway at work among simulators, seen from outside."""
