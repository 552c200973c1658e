"""What the page of a pilot says, in English and Japanese."""

WORDS: dict[str, tuple[str, str]] = {
    "title": ("Pilot of the consistency term", "一貫性項パイロット評価"),
    "line": ("Line", "ライン"),
    "go": ("GO", "採用"),
    "no-go": ("NO-GO", "不採用"),
    "not-yet": ("NOT YET", "判断保留"),
    "rule_denoising-worse": (
        "With the term the model restores unseen good parts worse, by more than 2 % on every "
        "reading of the interval. Leave it off.",
        "一貫性項を入れると、未学習の良品の復元誤差が区間全体で 2 % を超えて悪化しました。使わないでください。",
    ),
    "rule_lower": (
        "With the term, {endpoint} is lower at the same training time, and its whole 95 % interval "
        "says so. Switch it on.",
        "同じ学習時間で「{endpoint}」が下がり、95 % 区間全体がそれを示しています。有効にしてください。",
    ),
    "rule_higher": (
        "With the term, {endpoint} is higher at the same training time, and its whole 95 % "
        "interval says so. Leave it off.",
        "同じ学習時間で「{endpoint}」が上がり、95 % 区間全体がそれを示しています。使わないでください。",
    ),
    "rule_interval-holds-zero": (
        "The seeds do not agree whether {endpoint} is lower or higher with the term: the 95 % "
        "interval of the difference holds zero. Run more seeds or a longer budget before you decide.",
        "「{endpoint}」が下がるか上がるか、試行間で一致していません (差の 95 % 区間が 0 を含みます)。"
        "試行数か学習時間を増やしてから判断してください。",
    ),
    "minutes": ("{n:.1f} minutes", "{n:.1f} 分"),
    "seconds": ("{n:.0f} seconds", "{n:.0f} 秒"),
    "compared": ("What was compared", "比較の条件"),
    "compared_text": (
        "{seeds} seeds of each arm, {seconds} of training a run, preset {preset}, images of "
        "{image_size} px. Trained on {n_parts} good parts; {n_held_out} good parts were held out. The "
        "arms of a seed take turns second by second, so that a busy machine slows all of them alike.",
        "各条件 {seeds} 試行、1 試行の学習時間 {seconds}、プリセット {preset}、画像 {image_size} px。"
        "学習に良品 {n_parts} 個、評価用に別の良品 {n_held_out} 個。同じシードの各条件は 1 秒ずつ交互に学習するため、計算機の負荷は全条件に等しく影響します。",
    ),
    "judged_text": (
        "Each model judged the same {n_good} good and {n_defective} defective labelled parts.",
        "どのモデルも同じラベル付き部品 (良品 {n_good} 個、不良品 {n_defective} 個) を判定しました。",
    ),
    "arm_off": ("off: ordinary training", "off: 通常の学習"),
    "arm_on": ("on: with the consistency term", "on: 一貫性項あり"),
    "arm_staged": (
        "staged: the term once ordinary training has converged",
        "staged: 通常の学習が収束してから一貫性項を追加",
    ),
    "arm_off-equal-images": (
        "off, equal images: ordinary training on as many images as `on` had seen",
        "off (同画像数): on が学習した枚数と同じ枚数だけ通常の学習",
    ),
    "results": ("Results", "結果"),
    "measure": ("measure", "指標"),
    "equal_time": ("on − off, equal time", "on − off (同時間)"),
    "staged_time": ("staged − off, equal time", "staged − off (同時間)"),
    "equal_images": ("on − off, equal images", "on − off (同画像数)"),
    "better": ("better", "改善"),
    "worse": ("worse", "悪化"),
    "same": ("no clear difference", "明確な差なし"),
    "changed": ("changed", "変化あり"),
    "endpoint_dsm_held_out": ("error on unseen good parts", "未学習良品の復元誤差"),
    "endpoint_gap": ("martingale gap (0: consistent)", "予測のずれ (0: 一貫)"),
    "endpoint_drift": (
        "sampling drift, 8 steps from noise 1 (good-part standard deviations)",
        "8 ステップ復元のドリフト (良品ばらつきの標準偏差単位)",
    ),
    "endpoint_returned": (
        "restored parts pushed back (1: as rich as real)",
        "復元画像の再入力誤差 (1: 実物と同等)",
    ),
    "endpoint_curl": ("curl of the field (0: conservative)", "場の回転成分 (0: 保存場)"),
    "endpoint_z_squared": (
        "does it know how sure it is? (1: exactly)",
        "不確かさの正しさ (1: 正確)",
    ),
    "endpoint_escape_rate": ("escapes at the operating point", "運用しきい値での不良品の見逃し率"),
    "endpoint_false_reject_rate": (
        "false rejects at the operating point",
        "運用しきい値での良品の過検出率",
    ),
    "endpoint_cost_per_1000": (
        "misjudgement cost of 1,000 parts",
        "1,000 個あたりの誤判定コスト",
    ),
    "endpoint_AUROC": ("image AUROC, {scorer}", "画像 AUROC ({scorer})"),
    "curves": ("Quality against training time", "学習時間と品質"),
    "axis_seconds": ("seconds of training", "学習時間 (秒)"),
    "axis_images": ("images seen", "学習した画像数"),
    "axis_dsm": ("error on unseen good parts", "未学習良品の復元誤差"),
    "cost": ("What the term costs", "一貫性項の負荷"),
    "cost_text": (
        "Once on, a step took {ratio} times as long as one without (mean over runs of `on`).",
        "有効時の 1 ステップは、無効時の {ratio} 倍の時間でした (on の平均)。",
    ),
    "rules": ("How the answer follows", "判定の規則"),
    "rules_text": (
        "1. If the error on unseen good parts is more than 2 % higher with the term, with its whole "
        "interval: no-go. 2. Otherwise the deciding measure is {endpoint}: if the whole 95 % "
        "interval of on − off at equal time is below zero: go; above zero: no-go. 3. If it holds "
        "zero: not yet. The other measures are shown, and decide nothing.",
        "1. 未学習良品の復元誤差が区間全体で 2 % を超えて悪化したら不採用。2. それ以外は「{endpoint}」で決めます。"
        "同時間での on − off の 95 % 区間全体が 0 未満なら採用、0 を超えれば不採用。3. 0 を含めば判断保留。"
        "ほかの指標は参考で、判定には使いません。",
    ),
    "costs_text": (
        "Costs of the line: {escape:g} for an escape, {false_reject:g} for a false reject, "
        "{defect_share:g} of parts defective. Change them under [lines.{line}.costs].",
        "ラインのコスト: 見逃し {escape:g}、過検出 {false_reject:g}、不良率 {defect_share:g}。"
        "[lines.{line}.costs] で変更できます。",
    ),
    "cautions": ("Read with care", "注意"),
    "cautions_text": (
        "Intervals are t-intervals over seeds of paired differences; they say how far another "
        "seed would move the answer, not another batch of parts. {runs} comparisons are shown: one "
        "in twenty would look different from zero by chance.",
        "区間は試行 (シード) 間の対応のある差の t 区間で、別ロットの部品による変動は含みません。"
        "{runs} 個の比較を示しており、20 個に 1 個は偶然でも差があるように見えます。",
    ),
}
