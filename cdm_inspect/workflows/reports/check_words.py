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
    "contamination": (
        "Parts that may be defective: look at them",
        "不良の可能性がある部品（確認してください）",
    ),
    "contamination_text": (
        "A model was trained on each half of the parts and judged the other. About {share:.1%} of {parts} parts stand out as none (95 %: {low:.1%} to {high:.1%}). Defects that look no odder than soiled good parts cannot be counted: look at the list whatever the figure says.",
        "部品を半分ずつ学習し、残り半分を判定しました。{parts} 個のうち約 {share:.1%} が良品から明らかに外れています（95 % 区間 {low:.1%}～{high:.1%}）。汚れた良品程度に見える不良は数えられません。数値にかかわらず、一覧を確認してください。",
    ),
    "oddness": (
        "{oddness:.1f} robust SD above the median",
        "中央値より {oddness:.1f} σ 大きい（ロバスト標準偏差）",
    ),
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
