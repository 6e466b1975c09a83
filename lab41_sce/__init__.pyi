from lab41_sce.audio import load_audio as load_audio
from lab41_sce.evaluation.metrics import score as score
from lab41_sce.separation.separator import Separator as Separator
from lab41_sce.separation.separator import separate as separate

__version__: str
