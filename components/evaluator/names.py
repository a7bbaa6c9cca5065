"""Names of metrics and models, for readers that need not import TFMA."""

ACCURACY = "accuracy"
BALANCED_ACCURACY = "balanced_accuracy"
AUC = "auc"
CALIBRATION_ERROR = "expected_calibration_error"
MAJORITY_SHARE = "majority_share"
GAIN_OVER_MAJORITY = "gain_over_majority"
BALANCED_GAIN = "balanced_gain"
EXAMPLE_COUNT = "num_examples"
SUMMARY_METRICS = (
    ACCURACY,
    BALANCED_ACCURACY,
    AUC,
    CALIBRATION_ERROR,
    MAJORITY_SHARE,
    GAIN_OVER_MAJORITY,
    BALANCED_GAIN,
    EXAMPLE_COUNT,
)
PRECISION_PREFIX = "precision/"
RECALL_PREFIX = "recall/"
CANDIDATE = "candidate"
BASELINE = "baseline"
