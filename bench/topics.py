"""Fifty topics for measurements on reviews of holiday flats: category, label, words of the oracle."""

import re
from collections.abc import Mapping

PASSWORD = "correct horse battery staple"  # of the benchmark's only person

# A text with a word of one of these has that mood; with words of both, or of none, it is neutral.
GOOD = "great|love|nice|perfect|wonderful|amazing|excellent|beautiful|comfortabl|friendly|clean"
BAD = "not|dirty|loud|bad|poor|problem|broken|disappoint|uncomfortabl|cold|unfortunately"
TOPICS = [
    ("Host", "Friendliness of the host", "friendly|kind|sweet|welcoming"),
    ("Host", "Communication", "communicat|respon|message|replied"),
    ("Host", "Helpfulness", "helpful|helped|accommodating"),
    ("Host", "Tips and advice", "recommend|suggest|tips|advice"),
    ("Host", "Privacy", "privacy|private|respectful"),
    ("Arrival", "Check-in", "check-in|check in|checked in|arriv"),
    ("Arrival", "Key and door code", "key|code|lock"),
    ("Arrival", "Directions", "directions|find the place|easy to find|instructions"),
    ("Arrival", "Check-out", "check-out|check out|checkout"),
    ("Arrival", "Cancellation", "cancel"),
    ("Location", "Walking distance", "walk|walking"),
    ("Location", "City centre", "downtown|center|centre|city"),
    ("Location", "Neighbourhood", "neighborhood|neighbourhood|area"),
    ("Location", "Safety of the area", "safe|unsafe|sketchy"),
    ("Location", "Public transport", "bus|train|station|transit"),
    ("Location", "Parking", "park|parking|driveway"),
    ("Location", "Restaurants nearby", "restaurant|cafe|bars|coffee shop"),
    ("Location", "Shops nearby", "shop|store|market|grocer"),
    ("Rooms", "Size", "spacious|roomy|small|large|tiny"),
    ("Rooms", "Bedroom", "bedroom"),
    ("Rooms", "Bed comfort", "bed|mattress|pillow"),
    ("Rooms", "Bathroom", "bathroom|shower|toilet|bath"),
    ("Rooms", "Kitchen", "kitchen|stove|oven|fridge|refrigerator"),
    ("Rooms", "Living room", "living room|couch|sofa"),
    ("Rooms", "Decoration", "decor|style|stylish|design|furnish"),
    ("Rooms", "Light", "light|bright|dark|window"),
    ("Rooms", "Stairs and access", "stairs|steps|elevator|floor"),
    ("Rooms", "Outdoor space", "garden|yard|porch|balcony|patio|deck"),
    ("Comfort", "Heating", "heat|cold|warm"),
    ("Comfort", "Cooling", "air condition|a/c|fan|hot"),
    ("Comfort", "Noise", "nois|loud|quiet"),
    ("Comfort", "Smell", "smell|odor|scent"),
    ("Comfort", "Homely feeling", "home|homey|cozy|cosy"),
    ("Cleanliness", "Clean", "clean|spotless|immaculate"),
    ("Cleanliness", "Dirt", "dirty|dust|stain|hair"),
    ("Cleanliness", "Towels and linen", "towel|linen|sheets"),
    ("Cleanliness", "Pests", "bug|mouse|mice|roach|spider"),
    ("Equipment", "Internet", "wifi|wi-fi|internet"),
    ("Equipment", "Television", "tv|television|netflix"),
    ("Equipment", "Laundry", "laundry|washer|dryer"),
    ("Equipment", "Work space", "desk|work space|workspace"),
    ("Equipment", "Coffee and breakfast", "coffee|breakfast|snack|tea"),
    ("Equipment", "Toiletries", "shampoo|soap|toiletries"),
    ("Value", "Price", "price|cheap|expensive|cost"),
    ("Value", "Worth the money", "value|worth"),
    ("Value", "As described", "described|pictures|photos|listing"),
    ("Guests", "Families and children", "family|kids|children|baby"),
    ("Guests", "Pets", "dog|cat|pet"),
    ("Overall", "Would come back", "again|return|come back"),
    ("Overall", "Recommended", "highly recommend|would recommend"),
]
_GOOD, _BAD = (re.compile(rf"\b({words})", re.IGNORECASE) for words in (GOOD, BAD))
_WORDS = {label: re.compile(rf"\b({words})", re.IGNORECASE) for _, label, words in TOPICS}


def decide(text: str, ids: Mapping[str, int]) -> list[tuple[int, int]]:
    """Return what the oracle says about a text: (topic id, sentiment) of each topic that has a word in it."""
    mood = bool(_GOOD.search(text)) - bool(_BAD.search(text))
    return [(ids[label], mood) for label, words in _WORDS.items() if words.search(text)]
