"""What a node asks of a bucket that all nodes share, and what it gets."""

from gateway.model.values import Value


class Grant(Value):
    """What the shared row gave."""

    #: whole tokens; 0: none now
    tokens: int
    #: seconds until their time, before which they must not be used
    delay: float = 0.0
    #: seconds after which it is worth asking again
    wait: float = 0.0


class Demand(Value):
    """What a node asks of the shared row."""

    #: tokens a second, over all nodes
    rate: float
    #: the most that the row may hold
    capacity: float
    most: int
    #: tokens that are of use only together: a message of many parts
    least: int = 1
    #: tokens to be left for more urgent ones
    floor: float = 0.0
    #: seconds before its time at which a token may be given
    ahead: float = 0.0
