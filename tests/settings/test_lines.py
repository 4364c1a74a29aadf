"""Where keys stand in a file."""

from gateway.settings import lines

TEXT = '''\
# a comment with [brackets]
top = 1
[store]
url = "x # not a comment [ {"   # [
"quoted key" = 2
[lanes."sms.cn"]
match = { a = 1 }
providers = [
  "one", # ]
  "two",
]
long = """
[not.a.table]
key = "no"
"""
after.dotted = 5
literal = \'\'\'
x = ]\'\'\'
last = [[1], [2]]
[[steps]]
a = 1
[[steps]]
a = 2
[steps.sub]
b = 3
'''


def test_keys_and_tables_have_their_lines() -> None:
    assert lines.scan(TEXT) == {
        ("top",): 2,
        ("store",): 3,
        ("store", "url"): 4,
        ("store", "quoted key"): 5,
        ("lanes",): 6,
        ("lanes", "sms.cn"): 6,
        ("lanes", "sms.cn", "match"): 7,
        ("lanes", "sms.cn", "providers"): 8,
        ("lanes", "sms.cn", "long"): 12,
        ("lanes", "sms.cn", "after"): 16,
        ("lanes", "sms.cn", "after", "dotted"): 16,
        ("lanes", "sms.cn", "literal"): 17,
        ("lanes", "sms.cn", "last"): 19,
        ("steps",): 20,
        ("steps", 0): 20,
        ("steps", 0, "a"): 21,
        ("steps", 1): 22,
        ("steps", 1, "a"): 23,
        ("steps", "sub"): 24,
        ("steps", "sub", "b"): 25,
    }
