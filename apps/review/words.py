"""Every word on the screen, in English and Japanese."""

from __future__ import annotations

from session import SESSION

LANGUAGES = {"English": "en", "日本語": "ja"}

WORDS: dict[str, tuple[str, str]] = {
    "queue": ("Queue", "待ち行列"),
    "history": ("History", "履歴"),
    "line": ("Line", "ライン"),
    "reviewer": ("Your name", "確認者名"),
    "inspected": ("inspected", "検査済み"),
    "flagged": ("flagged", "要確認"),
    "sample": ("random sample of passed parts", "合格品の無作為抜取り"),
    "show": ("Show", "表示"),
    "no_sample": ("No passed part is left to sample.", "抜き取る合格品はありません。"),
    "sample_why": (
        "The machine passed these parts. Only by judging some of them does anyone learn how many "
        "defects escape.",
        "機械が合格とした部品です。一部を人が確認してはじめて、見逃しがどれだけあるか分かります。",
    ),
    "drift": ("Drift", "ドリフト"),
    "drift_why": (
        "Each curve adds up what differs from the good parts that the line was calibrated with. "
        "At the limit the line has changed.",
        "各曲線は、校正に使った良品との差を積み上げたものです。限界に達したら、ラインが変化しています。",
    ),
    "drift_none": ("No alarm since the calibration.", "校正以降、警報はありません。"),
    "drift_parts": ("{n} parts since the calibration", "校正以降 {n} 個"),
    "drift_unknown": ("Nothing can be said of drift.", "ドリフトについては判断できません。"),
    "drift_advice": (
        "Look at light, focus and the parts themselves. If they are as they should be, add "
        "photographs of them to the good parts, train and calibrate.",
        "照明、ピント、部品そのものを確認してください。問題がなければ、その画像を良品に加えて、"
        "学習と校正をやり直してください。",
    ),
    "alarm": (
        "{chart}: {direction} since about inspection {since} (found at {inspection}, {at})",
        "{chart}: 検査 {since} 付近から{direction} (検査 {inspection}、{at} に検出)",
    ),
    "limit": ("limit", "限界"),
    "inspection": ("inspection", "検査番号"),
    "sum": ("sum", "累積和"),
    "p-value": ("Oddness of passed parts", "合格品の異常度"),
    "exposure": ("Brightness", "明るさ"),
    "contrast": ("Contrast", "コントラスト"),
    "focus": ("Sharpness", "鮮明さ"),
    "less odd": ("less odd", "異常度が下がった"),
    "odder": ("odder", "異常度が上がった"),
    "lighter": ("lighter", "明るくなった"),
    "darker": ("darker", "暗くなった"),
    "richer in contrast": ("richer in contrast", "コントラストが強くなった"),
    "poorer in contrast": ("poorer in contrast", "コントラストが弱くなった"),
    "sharper": ("sharper", "鮮明になった"),
    "softer": ("softer", "ぼやけた"),
    "waiting": ("waiting for a decision", "判定待ち"),
    "part": ("Part", "部品"),
    "image": ("Photograph", "撮影画像"),
    "heatmap": ("Heat map", "異常マップ"),
    "opacity": ("Heat map opacity", "異常マップの濃さ"),
    "score": ("score", "スコア"),
    "threshold": ("threshold", "しきい値"),
    "model": ("model", "モデル"),
    "accept": ("✔ Accept", "✔ 合格"),
    "reject": ("✖ Reject", "✖ 不合格"),
    "unsure": ("? Unsure", "? 保留"),
    "comment": ("Comment", "コメント"),
    "name_first": (
        "Enter your name in the sidebar to decide.",
        "判定するには、左の欄に確認者名を入力してください。",
    ),
    "all_done": ("No flagged part is waiting.", "判定待ちの部品はありません。"),
    "recorded": ("recorded", "記録しました"),
    "not_recorded": (
        "The decision was NOT recorded. Try again.",
        "判定は記録されていません。もう一度行ってください。",
    ),
    "no_store": ("The records cannot be read.", "記録を読み出せません。"),
    "nothing_inspected": (
        "No part has been inspected yet. Run: cdm-inspect inspect",
        "まだ検査された部品がありません。次を実行してください: cdm-inspect inspect",
    ),
    "page_failed": (
        "This page comes from a plugin, and the plugin failed. Everything else works.",
        "このページのプラグインでエラーが発生しました。ほかの機能は使えます。",
    ),
    "no_picture": ("The image cannot be shown.", "画像を表示できません。"),
    "undecided": ("Could not be judged", "判定不能"),
    "odd": (
        "at most 1 in {n} good parts looks this odd (p = {p:.4f})",
        "この程度に見える良品は {n} 個に 1 個以下です (p = {p:.4f})",
    ),
    "decision": ("decision", "判定"),
    "verdict": ("machine's verdict", "機械の判定"),
    "when": ("when", "日時"),
    "who": ("who", "確認者"),
    "nothing_decided": ("Nothing has been decided yet.", "まだ判定はありません。"),
    "change": ("Change the decision", "判定を変更"),
    "story": ("Every decision on this part", "この部品のすべての判定"),
}


def word(key: str) -> str:
    english, japanese = WORDS[key]
    return japanese if SESSION.language == "ja" else english
