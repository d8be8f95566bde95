"""ai.onnx.ml, and the optimizers of ai.onnx.preview.training."""

from orpheus_core.plugin import Kernel
from orpheus_numpy.manifest._row import reference

_ML = "ai.onnx.ml"
_TRAINING = "ai.onnx.preview.training"

KERNELS: tuple[Kernel, ...] = (
    reference("ArrayFeatureExtractor", "ml.features:array_feature_extractor", domain=_ML),
    reference("Binarizer", "ml.features:binarizer", domain=_ML),
    reference("CastMap", "ml.lookup:cast_map", domain=_ML),
    reference("CategoryMapper", "ml.lookup:category_mapper", domain=_ML),
    reference("DictVectorizer", "ml.lookup:dict_vectorizer", domain=_ML, takes_problem=True),
    reference("FeatureVectorizer", "ml.features:feature_vectorizer", domain=_ML),
    reference("Imputer", "ml.features:imputer", domain=_ML),
    reference("LabelEncoder", "ml.lookup:label_encoder", domain=_ML),
    reference("LinearClassifier", "ml.linear:linear_classifier", domain=_ML),
    reference("LinearRegressor", "ml.linear:linear_regressor", domain=_ML),
    reference("Normalizer", "ml.features:normalizer", domain=_ML),
    reference("OneHotEncoder", "ml.features:one_hot_encoder", domain=_ML),
    reference("Scaler", "ml.features:scaler", domain=_ML),
    reference("SVMClassifier", "ml.linear:svm_classifier", domain=_ML),
    reference("SVMRegressor", "ml.linear:svm_regressor", domain=_ML),
    reference("TreeEnsemble", "ml.trees:tree_ensemble", domain=_ML),
    reference("TreeEnsembleClassifier", "ml.trees:tree_ensemble_classifier", domain=_ML),
    reference("TreeEnsembleRegressor", "ml.trees:tree_ensemble_regressor", domain=_ML),
    reference("ZipMap", "ml.lookup:zip_map", domain=_ML),
    reference("Adagrad", "ml.training_ops:adagrad", domain=_TRAINING),
    reference("Adam", "ml.training_ops:adam", domain=_TRAINING),
    reference("Momentum", "ml.training_ops:momentum", domain=_TRAINING),
)
