"""Words of the report on a line's good parts, English and Japanese."""

WORDS: dict[str, tuple[str, str]] = {
    "title": ("Good parts", "良品データの確認"),
    "line": ("line", "ライン"),
    "enough": (
        "{usable} of {files} files can be used; {n_train} would be trained on, {n_held_out} kept for calibration.",
        "{files} ファイル中 {usable} 個が使用可能。学習 {n_train} 個、校正用 {n_held_out} 個。",
    ),
    "too_few": (
        "Only {usable} of {files} files can be used; {needed} are needed. Add photographs of good parts.",
        "{files} ファイル中 {usable} 個しか使用できません。{needed} 個以上必要です。良品の写真を追加してください。",
    ),
    "not_split": (
        "{usable} of {files} files can be used, but they all belong together: nothing could be kept for calibration. Add parts of another lot or session.",
        "{files} ファイル中 {usable} 個が使用可能ですが、すべて同じグループのため、校正用を確保できません。別のロットまたは別の日の良品を追加してください。",
    ),
    "facts": (
        "Folder {folder}. Sizes: {sizes}. Kinds: {kinds}. {groups} groups that are never split between training and calibration.",
        "フォルダー {folder}。サイズ：{sizes}。種類：{kinds}。学習用と校正用に分割されないグループ：{groups}。",
    ),
    "problems": ("Files that cannot be used", "使用できないファイル"),
    "oddest": (
        "Good parts that the line's model finds oddest: look at them",
        "モデルが最も異常と見なす良品（確認してください）",
    ),
    "oddest_why": (
        "The tenth of the held-out good parts with the highest scores, each by statistics of other parts. A defect among them costs detection: exclude it, and calibrate again. Empty before the first calibration.",
        "学習に使わなかった良品のうち、スコアが高い上位 1 割です（各部品は他の部品の統計で採点）。不良が混ざっていれば除外し、校正し直してください。校正前は空です。",
    ),
    "score": ("score {score:.3g}", "スコア {score:.3g}"),
    "odd": ("Photographs unlike the others: look at them", "他と異なる写真（確認してください）"),
    "near_duplicates": (
        "Nearly the same photograph; each pair stays on one side",
        "ほぼ同じ写真（学習用と校正用に分けません）",
    ),
    "reason": ("reason", "理由"),
    "found": ("what was found", "内容"),
    "none": ("None.", "ありません。"),
    "next": (
        "To leave a part out: cdm-inspect check --line {line} --exclude FILE. To keep it: --accept FILE. Decisions are kept in manifests/{line}.csv.",
        "除外するには cdm-inspect check --line {line} --exclude FILE、採用するには --accept FILE。判断は manifests/{line}.csv に保存されます。",
    ),
    "more": ("... and {n} more.", "ほか {n} 件。"),
}
