from lab41_sce.audio import load_audio as load_audio
from lab41_sce.evaluation.metrics import score as score
from lab41_sce.runs.run_mixtures import evaluation_mixtures as evaluation_mixtures
from lab41_sce.runs.run_mixtures import training_batches as training_batches
from lab41_sce.separation.separator import Separator as Separator
from lab41_sce.separation.separator import separate as separate

__version__: str
