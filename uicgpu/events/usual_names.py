"""The names that columns usually carry, and how names are compared.

Names are compared without case, separators and the type suffix of RecBole's atomic files: ``Customer ID``,
``customer_id`` and ``customerId:token`` are one name.
"""

from __future__ import annotations

import re
from typing import Final

_TYPE_SUFFIX = re.compile(r":(token|float|token_seq|float_seq)$")

# Each role has tiers; a later tier is looked at only when no column matches an earlier one.
USER: Final = (
    (
        "userid",
        "uid",
        "customerid",
        "visitorid",
        "householdid",
        "memberid",
        "accountid",
        "reviewerid",
        "clientid",
        "personid",
        "readerid",
        "listenerid",
        "playerid",
        "subscriberid",
        "shopperid",
        "buyerid",
        "userkey",
        "customerkey",
        "用户id",
        "用户编号",
        "会员id",
        "会员编号",
    ),
    ("user", "customer", "member", "visitor", "household", "reviewer", "username", "用户", "会员"),
)
ITEM: Final = (
    (
        "itemid",
        "productid",
        "movieid",
        "filmid",
        "stockcode",
        "asin",
        "parentasin",
        "sku",
        "skuid",
        "articleid",
        "animeid",
        "bookid",
        "isbn",
        "trackid",
        "songid",
        "artistid",
        "newsid",
        "videoid",
        "gameid",
        "appid",
        "courseid",
        "jobid",
        "recipeid",
        "businessid",
        "goodsid",
        "contentid",
        "documentid",
        "postid",
        "itemcode",
        "productcode",
        "productkey",
        "itemkey",
        "mangaid",
        "showid",
        "商品id",
        "商品编号",
        "物品id",
    ),
    ("item", "product", "movie", "film", "article", "book", "anime", "track", "song", "goods", "商品", "物品"),
)
ITEM_FILE: Final = (*ITEM, ("id", "code", "key", "编号"))
USER_FILE: Final = (*USER, ("id", "key"))
TIME: Final = (
    (
        "timestamp",
        "timestampms",
        "eventtime",
        "eventtimestamp",
        "transactiontimestamp",
        "datetime",
        "invoicedate",
        "orderdate",
        "purchasedate",
        "createdat",
        "eventdate",
        "unixtime",
        "unixreviewtime",
        "reviewtime",
        "unixtimestamp",
        "ts",
        "date",
        "time",
        "时间",
        "时间戳",
        "日期",
    ),
)
KIND: Final = (
    (
        "eventtype",
        "kind",
        "behavior",
        "behaviour",
        "behaviortype",
        "behaviourtype",
        "action",
        "actiontype",
        "interactiontype",
        "eventkind",
        "event",
        "行为",
        "行为类型",
    ),
)
VALUE: Final = (
    (
        "rating",
        "score",
        "stars",
        "overall",
        "feedback",
        "quantity",
        "qty",
        "value",
        "playcount",
        "count",
        "amount",
        "评分",
        "数量",
    ),
)
TITLE: Final = (
    (
        "title",
        "itemtitle",
        "producttitle",
        "movietitle",
        "booktitle",
        "itemname",
        "productname",
        "name",
        "headline",
        "标题",
        "商品名称",
        "商品名",
        "名称",
        "片名",
        "书名",
    ),
)
DESCRIPTION: Final = (
    (
        "description",
        "itemdescription",
        "productdescription",
        "abstract",
        "summary",
        "overview",
        "synopsis",
        "plot",
        "text",
        "content",
        "body",
        "描述",
        "简介",
        "内容",
        "摘要",
    ),
)
CATEGORY: Final = (
    (
        "genres",
        "genre",
        "categories",
        "category",
        "productcategory",
        "itemcategory",
        "maincategory",
        "categoryname",
        "department",
        "class",
        "tags",
        "topic",
        "topics",
        "类别",
        "类目",
        "分类",
        "类型",
    ),
    ("type", "producttype", "brand"),
)

QUANTITY_NAMES: Final = frozenset({"quantity", "qty", "amount", "count", "playcount", "units", "数量"})
"""Value columns whose negative numbers are returns."""
RATING_NAMES: Final = frozenset({"rating", "score", "stars", "overall", "feedback", "评分"})
"""Value columns whose negative numbers and zeros are legal opinions."""


def plain_name(column: str) -> str:
    """Return the name without a RecBole type suffix: ``user_id:token`` is ``user_id``."""
    return _TYPE_SUFFIX.sub("", column)


def is_word_sequence(column: str) -> bool:
    """Whether a RecBole header says that the cell is a list separated by spaces."""
    return column.endswith(":token_seq")


def name_key(column: str) -> str:
    """Return the form in which names are compared.

    >>> name_key("Customer ID"), name_key("userId:token")
    ('customerid', 'userid')
    """
    return "".join(character for character in plain_name(column).casefold() if character.isalnum())


def last_key(column: str) -> str:
    """Return the form of a dotted name's last part.

    >>> last_key("product.title")
    'title'
    """
    return name_key(plain_name(column).rsplit(".", 1)[-1])
