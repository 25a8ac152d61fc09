from uicgpu.events.oddities import odd_items, odd_items_note

PRODUCTS = [f"{number}{suffix}" for number in range(20_000, 20_100) for suffix in ("", "A")]


def test_codes_that_are_no_products():
    pattern, odd = odd_items([*PRODUCTS, "POST", "M", "DOT", "C2", "123"])
    assert pattern == "^[0-9]{5}"
    assert odd == ["123", "C2", "DOT", "M", "POST"]
    assert "--item-pattern '^[0-9]{5}'" in odd_items_note([*PRODUCTS, "POST"])


def test_nothing_is_odd_in_plain_numbers_words_or_codes_of_one_length():
    assert odd_items([str(number) for number in range(1, 3000)]) is None
    assert odd_items([f"item{number}" for number in range(500)]) is None
    assert odd_items([f"B{number:09d}" for number in range(500)] + ["0783226772"]) is None
    assert odd_items([*PRODUCTS[:50], "POST"]) is None, "too few to judge"
    assert odd_items(PRODUCTS + [f"X{number}" for number in range(50)]) is None, "not few enough to be odd"
