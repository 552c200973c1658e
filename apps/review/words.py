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
