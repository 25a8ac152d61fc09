"""Did general meaning survive? Our own graded sentence pairs: rank correlation with the grades, and with the base.

Grades: 0 unrelated … 5 the same. They are about everyday goods, media and activities, written and graded by one person
for this purpose: enough to see damage, not to rank encoders. A change of .03 is noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

LARGEST_LOSS: Final = 0.05
"""A trained encoder whose correlation falls by more does not ship."""
LEAST_STRUCTURE: Final = 0.8
"""A trained encoder whose cosines of general sentences correlate less with the base's does not ship. Below it, k-means
found known groups of another catalogue less well (by .02 and more in NMI); above it, as well as before."""

ENGLISH: Final[tuple[tuple[str, str, float], ...]] = (
    ("A child rides a bicycle in the park.", "A kid is cycling through the park.", 4.7),
    ("The soup is too salty.", "There is too much salt in the soup.", 4.8),
    ("She bought a pair of running shoes.", "She purchased new trainers for jogging.", 4.4),
    ("The train to the coast leaves at nine.", "At nine the coast train departs.", 4.8),
    ("He repaired the old wooden chair.", "The antique chair was fixed by him.", 4.3),
    ("A dog sleeps on the sofa.", "A puppy is napping on the couch.", 4.2),
    ("The film was long but beautiful.", "It was a lovely picture, though lengthy.", 4.4),
    ("We planted tomatoes in the garden.", "Tomatoes were planted in our garden.", 4.9),
    ("A laptop with a bright screen.", "A notebook computer with a vivid display.", 4.5),
    ("Heavy rain flooded the street.", "The road was under water after the storm.", 4.0),
    ("A man plays the guitar on stage.", "A musician performs in front of people.", 3.4),
    ("The bakery sells fresh bread.", "You can buy rolls and cakes at that shop.", 3.3),
    ("A novel about a detective in London.", "A crime story set in England.", 3.5),
    ("Winter coat with a warm hood.", "Rain jacket for cold days.", 3.1),
    ("The team won the football match.", "The players celebrated after the game.", 3.0),
    ("A recipe for vegetable curry.", "How to cook a spicy stew without meat.", 3.3),
    ("Wireless headphones for travel.", "A loudspeaker for the living room.", 2.4),
    ("Children build a snowman.", "Kids are sledging down a hill.", 2.6),
    ("Oil painting of a harbour.", "Photograph of sailing boats.", 2.5),
    ("The doctor examined the patient.", "A nurse prepared the medicine.", 2.5),
    ("A blue ceramic mug.", "A set of white dinner plates.", 2.2),
    ("Strategy game about ancient Rome.", "Documentary on the Roman empire.", 2.4),
    ("He waters the flowers every morning.", "He mows the lawn on Sundays.", 2.0),
    ("A cat chases a mouse.", "A horse gallops across the field.", 1.4),
    ("A phone charger with a long cable.", "A desk lamp with a dimmer.", 1.3),
    ("The museum opens on Tuesday.", "The library is closed for repairs.", 1.4),
    ("A cookbook for beginners.", "A guide to mountain hikes.", 1.1),
    ("The bank raised its interest rates.", "A violinist tuned her instrument.", 0.1),
    ("Green tea with jasmine.", "A hammer and a box of nails.", 0.2),
    ("The rocket reached its orbit.", "Grandmother knitted a scarf.", 0.1),
    ("Shampoo for dry hair.", "The parliament voted on the budget.", 0.0),
    ("A toy train for toddlers.", "Quarterly figures of an insurance company.", 0.1),
)
CHINESE: Final[tuple[tuple[str, str, float], ...]] = (
    ("孩子在公园里骑自行车", "一个小孩在公园骑车", 4.8),
    ("这双跑鞋很舒服", "这款运动鞋穿着舒适", 4.4),
    ("火车九点出发", "九点钟列车开车", 4.8),
    ("屏幕很亮的笔记本电脑", "显示效果明亮的手提电脑", 4.5),
    ("一只小狗睡在沙发上", "沙发上躺着一条狗", 4.2),
    ("音乐家在台上弹吉他", "歌手在观众面前表演", 3.2),
    ("冬天的厚外套", "防雨的夹克", 2.9),
    ("描写伦敦侦探的小说", "发生在英国的犯罪故事", 3.5),
    ("无线耳机", "客厅音箱", 2.4),
    ("蓝色陶瓷杯", "白色餐盘套装", 2.2),
    ("猫追老鼠", "马在草原上奔跑", 1.4),
    ("手机充电线", "可调光台灯", 1.3),
    ("茉莉绿茶", "一把锤子和一盒钉子", 0.2),
    ("银行提高了利率", "奶奶织了一条围巾", 0.1),
    ("干性头发洗发水", "议会表决预算", 0.0),
    ("火箭进入轨道", "适合初学者的菜谱", 0.1),
)


@dataclass(frozen=True)
class Meaning:
    """How an encoder sees the built-in sentences.

    Attributes
    ----------
    similarity
        Spearman's correlation of the graded pairs' cosines with their grades, -1 to 1.
    cosines
        float64, cosines of all pairs of sentences.
    """

    similarity: float
    cosines: NDArray[np.float64]

    def structure_of(self, before: Meaning) -> float:
        """Return Pearson's correlation of all cosines with those of another encoder: 1 is the same structure."""
        if np.ptp(self.cosines) == 0 or np.ptp(before.cosines) == 0:
            return float(np.ptp(self.cosines) == np.ptp(before.cosines))
        return float(np.corrcoef(before.cosines, self.cosines)[0, 1])


def meaning_of(encode: Callable[[list[str]], NDArray[np.float32]], *, english_only: bool = True) -> Meaning:
    """Encode the built-in sentences and compare.

    Parameters
    ----------
    encode
        From texts to unit vectors.
    english_only
        Leave the Chinese pairs out.
    """
    pairs = ENGLISH if english_only else (*ENGLISH, *CHINESE)
    vectors = encode([text for left, right, _ in pairs for text in (left, right)]).astype(np.float64)
    graded = (vectors[0::2] * vectors[1::2]).sum(axis=1)
    similarity = 0.0 if np.ptp(graded) == 0 else float(spearmanr(graded, [grade for *_, grade in pairs]).statistic)
    return Meaning(similarity, (vectors @ vectors.T)[np.triu_indices(vectors.shape[0], 1)])
