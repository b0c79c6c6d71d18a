"""Mean and spread of what an encoder makes of pictures of other things, for `outliers`.

Of photographs, X-rays, histology, fundi, documents, charts, interfaces, logos, hands without a lesion, CT, MRI and
ultrasound, endoscopy and textures, 171 in all, no more than their mean and standard deviation by dimension is kept.
`bench.label_noise off-topic-reference` prints them for another encoder, and decision 19 says which pictures they were.
"""

from __future__ import annotations

import base64
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Reference(NamedTuple):
    """What an encoder makes of pictures of other things.

    mean: (d,) of their unit vectors.
    std: (d,) of them.
    """

    mean: NDArray[np.float32]
    std: NDArray[np.float32]


def pack(vectors: NDArray[np.float32]) -> str:
    """Write the reference that vectors (n, d) make as text, in half precision."""
    return base64.b85encode(np.stack([vectors.mean(axis=0), vectors.std(axis=0)]).astype("<f2").tobytes()).decode()


def unpack(text: str) -> Reference:
    """Read what `pack` wrote."""
    mean, std = np.frombuffer(base64.b85decode(text), "<f2").astype(np.float32).reshape(2, -1)
    return Reference(mean, np.maximum(std, 1e-3))


# By library, model and weights of the encoder; its precision and side move its vectors little.
REFERENCES = {
    "open_clip/ViT-B-16-quickgelu/clip_vit_b16@c8afd683b9f5": unpack(
        "z!@2-jGYCOVH9|j6&w|(8zLSd-yjYY=OSN;N2SLg@S5tM^@*;Kza?-SRUBNVwVMqf-WVn*!XBldh8<NCz8(#q^`@4i5f>GmB_)$6"
        "W1C2$lOW%t%AR8$VI^H4DIofq(Wo9Iq#>V-(3wD`teyBHRT?84ZzGwVaGf8OdY_sWJCY`#3?rZ;@SPAQy&o!}`<|8?o}8B_z7aW_"
        "B_jzgksA4-0v^GjP9q8>1tNKz>>PQZUnG?v#3Gm-xhSwAOdPx&H6=P3ydT`KSsp2#k{-RD&6)WYAR?!p_o3Ax;~Qb5Zl%wc&l*LN"
        "qaV_koTGCpvnr{WR49iTz#@X2BAdz_Y9w8p@Fs~Icc;50Js$)fj2|-{6(O^!xgd!bNF(Q+^O!Ut@1h5!JDyq~JRh|a`=EU%h9o1R"
        "ilf{mkEHdeQXn)Ifeb{anI;6JjiB$M&?0XkDjioKFqbkQt}gMKV43WovX|K*u^2BP@f%s4lBLHP<(gukPnnmT+ADP;?xGAK&KeFS"
        "93Al(8=ixry&PtiiJ_9E)1pZlu%V8ZBpv*pRis>`+@ZfFkD>UZb{c`9=p~LE@su2#`IoGc;|tZBl9d>sd?sv~M;{?09whP}IgP@f"
        "1CX<%<d9CI{;rsroS-C>u_1SvK^6<IdL&^U94XKw)}vUUaUM>hYKC5%;-Y1q)*e3?d!xLcCY6Mu=^8yHmL0hfL7BItvmH1TsUj7W"
        "tf?^y3ZIE5!khq~d6~+Z$(?ba9-hXGex%Nt8Y3GSO`|X@kfM2_vmoso3?m61G9m?=HKuf*(;l;;$02zLYa}fX5~j<eD4!do_aMQa"
        "fFBMW)Sn|H?V#732c%P=*$bQ-AEXu`FCA+m<(JJNI~4(#1SH*=X`VcyCM?RIq#Yg~w;UxDX{6?%395M=IT_#~mmcq-4V`YG3LF5K"
        "927sKOD-^;!5Q$S)uf&hnk6kH`jaiBk(KQu1R!!C@0=3}b{^-VPaa634x-DJqZn%_(j3JJVxAG4FCILi$0ZP+38=**-XLU|G#H$q"
        "znu^vrVTTqZJwhZ7A2sY;U2vqj-J=3f+Fc0(j8+Q;2s&CvY&+^eilcX5hE=V>>|shA|25egaGX)b)*v*LZ45UR3u253?eF-FCFk2"
        "f}NKjL^*96d7<o{(3v769~Z!vdzOVC!Xq6bz#PaJ?U=@x1(`yWIUa7ErWi`2!yv8`E}$YN?}C}2_#Ag4ZJXAhE1@f;h#WSgM3uLg"
        "lp=Yl1RQ~ybsy~@PoNf~N+j)~W2G9N^PCkSP#J$1Y#7j_o*Jf|@}b+DW1j?@Y?qWOyPSR}J)c$_0vQq_y(b$g+9r-Avn3HH5GOz="
        "{Um)Rbth*i<|f4_119SvNF_@pt|dn%`X~)1*Ce<mktG!<o+ghdCnm`zmnEzw94GlD{U^*Oza{=8Iw=Y%4km3SP9}yW*(K5@nI=dj"
        "Y9&x6!YcA5uqBx#uqFQ`Y$miNl_e-9|0uI1?<MvobtMlarzdSC5++S2dnNWI6ei6kgDE~GEG7&mASeAL;3j-4!zX$tyC#z*_9XEp"
        "dM3Ok87Gk@z9rr!!zQRDcPB+9F(#fRfhVRV)+H(}R3!o@v?p37I41ihZzhQ)&Lx^Ab0zX6d?s!voh4NzA1Jpb_9X=;dnlnMNGb>>"
        "u_h8HMkS~w@FnvlrzTG(G$#=!sU@%`O()kSL?sm}A|{+B0Vb6tA1F&F5GHmdyd}UTDJF_0dnG6-?<LbELM8DgR4L~w#U*ehSSINu"
        "k0y^M#U(i>jV2H!kR@^?jwUiC5i8dvQ6^6&nJ4olASFd5t|f6MFeeZt*Ch}o8YaFbASz%b=OxxB)+UW7HztTCbS35|m?m)~ASO*G"
        "C@4@RB_|9fP$ml|cqgzWrzD0b-Y4THXeU@Eoh1z=_a&SqwIviLOeH}k1ts1lh9<xzgC_1KRww`^>?F%2i6v_%?<FlKg)H<WX(jq5"
        "2PW<%8zq-4CnmThbSvZ~Feq6jj3jI&d?j)vu_ovyJSIaYGA8CG#3d0Y6DF)C)g@9TASR?I(j_@1(j`?T%qg`crzIIEXeJFN(k7=Q"
        "i6tH<bte-gMks70RwoH2l_#$%2qvc`M<z5ScPH*82PLB>kSKg5+9k9k_$OW^>nDpRLMD(VBPXmUrzIXGY9_lSW+jd%LnT%xBPNg~"
        "@g;^Pb0u{pA0}ldY9`zz<|O1L2__jP%OwgXqbQUncP2$8@g%_{FDDQteJ&&>5hZ^nx+SM3EG2p-)FzN7NF{_O2_ZHn%_NB@`6s<4"
        "V<y@qG9@S|>LfoXNhnAqIx09O^(96nekBAYkSsSQNGMDvgD1x&^(G`I6DZRrA}6gTXeg;A{Uuf=G$uhOW+mn(Stl<hmnAwU@F(ac"
        "awW?p+a<a!NGOaY3MbPf(<b;O{3Wy{-6Vu1rX}4a$0%GTI40sHa3t6!T_zDHz$Nq~izlBZY9`Djz9nuZV<l=OBrN78DJK&qye2*-"
        "J0`3pmL*XoU?xf?^Ckl(I3>L$8734bmnCE-CMEJFBPUEKm?kPHkS2H~P$pm~^(7l6S0{ie945jhTqWBjQzr%|AtW&-oh1h-d?gAd"
        "hbM<7geJcw5hi6O8YV0z7bOoSq#!dWyCsDtR3@Aya3z)~EG5+_Zzhx`MJK8y"
    )
}
