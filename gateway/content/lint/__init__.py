"""Rules about what messages say: what costs more than it need, is refused by carriers, lands in
spam, misleads or cannot be understood.

A rule is a pure function from a `sample.Sample` to findings; `linter` has the list of them. None
raises whatever the text, and the work of each grows with the size of the text alone.
"""
