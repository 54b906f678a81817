"""Shop messages to translate into Chinese and Japanese, from sentences written in parallel."""

from __future__ import annotations

from typing import Any

from workload_parts.common import Item

SYSTEM = {
    "zh": "Translate the message to a customer into simplified Chinese. Answer with the translation alone.",
    "ja": "Translate the message to a customer into polite Japanese. Answer with the translation alone.",
}
NAMES = {"zh": "simplified Chinese", "ja": "Japanese"}
THINGS = (
    ("desk lamp", "台灯", "デスクライト"),
    ("bicycle pump", "自行车打气筒", "自転車用の空気入れ"),
    ("electric kettle", "电热水壶", "電気ケトル"),
    ("headset", "耳机", "ヘッドセット"),
    ("coffee grinder", "咖啡研磨机", "コーヒーミル"),
    ("office chair", "办公椅", "オフィスチェア"),
    ("rice cooker", "电饭煲", "炊飯器"),
    ("fan heater", "暖风机", "ファンヒーター"),
)
# English, Chinese, Japanese. {m} and {d} are month and day, {n} a number, {o} an order number.
MESSAGES = (
    (
        "Thank you for ordering the {t}. It will arrive on {m}/{d}.",
        "感谢您订购{t}，商品将于{m}月{d}日送达。",
        "{t}をご注文いただきありがとうございます。{m}月{d}日にお届けします。",
    ),
    (
        "We are sorry: the {t} of order {o} is sold out. We will refund your payment within {n} days.",
        "非常抱歉，订单{o}中的{t}已售罄，我们会在{n}天内为您退款。",
        "申し訳ございませんが、ご注文{o}の{t}は完売いたしました。{n}日以内に返金いたします。",
    ),
    (
        "Our shop is closed on {m}/{d}. Orders will be shipped the next day.",
        "本店{m}月{d}日休息，订单将于次日发货。",
        "{m}月{d}日は休業日です。ご注文の商品は翌日に発送いたします。",
    ),
    (
        "If the {t} does not work, please send us a photo and your order number {o}.",
        "如果{t}无法正常使用，请将照片和订单号{o}发送给我们。",
        "{t}が正常に動作しない場合は、写真と注文番号{o}をお送りください。",
    ),
    (
        "You can return the {t} free of charge within {n} days.",
        "您可以在{n}天内免费退回{t}。",
        "{t}は{n}日以内であれば無料で返品できます。",
    ),
    (
        "The price of the {t} will go down by {n} percent from {m}/{d}.",
        "从{m}月{d}日起，{t}降价百分之{n}。",
        "{m}月{d}日から、{t}を{n}パーセント値下げいたします。",
    ),
    (
        "Please confirm the delivery address for order {o} by {m}/{d}.",
        "请在{m}月{d}日之前确认订单{o}的收货地址。",
        "{m}月{d}日までに、ご注文{o}のお届け先をご確認ください。",
    ),
    (
        "Your {t} has been repaired. You can pick it up from {m}/{d}.",
        "您的{t}已经修好，从{m}月{d}日起可以来取。",
        "お預かりした{t}の修理が完了しました。{m}月{d}日以降にお受け取りいただけます。",
    ),
    (
        "We have {n} pieces of the {t} left. Shall we keep one for you?",
        "{t}还剩{n}件，需要为您保留一件吗？",
        "{t}の在庫は残り{n}点です。お取り置きいたしましょうか。",
    ),
    (
        "Order {o} was shipped in two parcels because the {t} comes from another warehouse.",
        "由于{t}从另一个仓库发出，订单{o}分成两个包裹寄送。",
        "{t}は別の倉庫から発送されるため、ご注文{o}は二つの荷物に分けてお送りしました。",
    ),
    (
        "The warranty of your {t} ends on {m}/{d}. You can extend it by {n} months.",
        "您的{t}的保修期将于{m}月{d}日到期，您可以延长{n}个月。",
        "お使いの{t}の保証期間は{m}月{d}日に終了します。{n}か月延長することができます。",
    ),
    (
        "For safety reasons, please stop using the {t} that you bought on {m}/{d}.",
        "为了安全起见，请停止使用您于{m}月{d}日购买的{t}。",
        "安全のため、{m}月{d}日にご購入いただいた{t}の使用を中止してください。",
    ),
)


def chinese(rng: Any, count: int) -> list[Item]:
    return [_message(rng, number, "zh", 1) for number in range(count)]


def japanese(rng: Any, count: int) -> list[Item]:
    return [_message(rng, number, "ja", 2) for number in range(count)]


def _message(rng: Any, number: int, language: str, column: int) -> Item:
    texts = MESSAGES[number % len(MESSAGES)]
    # A different thing each time a message comes round, so that no prompt occurs twice.
    thing = THINGS[(number % len(MESSAGES) + 3 * (number // len(MESSAGES))) % len(THINGS)]
    values = {
        "m": rng.randint(1, 12),
        "d": rng.randint(1, 28),
        "n": rng.randint(5, 30),
        "o": rng.randint(10_000, 99_999),
    }
    prompt = f"Into {NAMES[language]}:\n\n{texts[0].format(t=thing[0], **values)}"
    expected = texts[column].format(t=thing[column], **values)
    return Item(f"translate::{language}", prompt, expected, "text", 200, SYSTEM[language])
