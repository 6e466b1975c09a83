import sys,time; import numpy as np, keras
from functools import partial
from conftest import hum
from overfit import tiny_setup
from lab41_sce.methods import pit
from lab41_sce.methods.base import Setup
from lab41_sce.models.front_end import FrontEnd
from lab41_sce.models.networks import segment_cnn, temporal_cnn
from lab41_sce.evaluation.metrics import best_si_sdr
from lab41_sce.separation.chunked_inference import estimate_masks
def pool(n,rng): return np.stack([[hum(rng.uniform(lo,hi),.7,10000,rng) for _ in range(n)] for lo,hi in ((90,140),(170,250))])
which,lr,updates=sys.argv[1],float(sys.argv[2]),int(sys.argv[3])
keras.utils.set_random_seed(0); rng=np.random.default_rng(0); fe=FrontEnd()
T=fe.spectrogram(np.zeros(7000,np.float32)).shape[0]; print(T)
net={'temporal':partial(temporal_cnn,width=64,dilations=(1,2),bottleneck_rank=None),'cnn':partial(segment_cnn,segment_frames=T,convolutions=(2,1,1),filters=(16,32,64),dense_units=128),'cnn_full':partial(segment_cnn,segment_frames=T,convolutions=(2,1,1),filters=(64,128,256),dense_units=1024)}[which]
m=pit.build(Setup(fe,None,2,('A','B')),network=net,segment_frames=None if which=='temporal' else T)
m.compile(keras.optimizers.Adam(lr)); P=pool(80,rng); test=pool(12,np.random.default_rng(9))
t0=time.time()
for u in range(updates):
    i=rng.integers(80,size=(2,16)); b={'sources':np.stack([P[0][i[0]],P[1][i[1]]],1),'speaker_ids':np.zeros((16,2),np.int32)}
    l=m.train_on_batch(b)
    if u%100==99 or u==updates-1:
        r=[]
        for k in range(12):
            s=test[:,k]; mix=s.sum(0); M=estimate_masks(m.model,mix,2); e=fe.synthesise(fe.spectrogram(mix)*M,len(mix)); r.append(best_si_sdr(s,e).mean()-best_si_sdr(s,np.stack([mix,mix])).mean())
        print(which,lr,u+1,float(l),round(np.mean(r),2),round(time.time()-t0),flush=True)
