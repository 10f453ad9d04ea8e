"""The functions that a program of ``torch.export`` may call: those of arithmetic and of networks.

What touches files, sets memory free or reads it before it is written is not among them.
"""

from __future__ import annotations

_NUMBERS = """
add sub mul floordiv truediv mod neg pow eq ne lt le gt ge getitem ceil floor trunc
"""
_CLAIMS = """
_assert_scalar _assert_tensor_metadata sym_constrain_range sym_constrain_range_for_size
"""
_EACH_VALUE = """
abs acos add addcdiv addcmul asin atan atan2 bitwise_and bitwise_not bitwise_or ceil celu clamp
clamp_max clamp_min cos cosh div elu eq erf exp expm1 floor floor_divide fmod ge gelu glu gt
hardshrink hardsigmoid hardswish hardtanh isfinite isinf isnan le leaky_relu lerp log log1p log2
log10 log_sigmoid logical_and logical_not logical_or logical_xor logit lt masked_fill maximum
minimum mish mul nan_to_num ne neg pow prelu reciprocal relu relu6 remainder round rsqrt rsub selu
sigmoid sign silu sin sinh softplus softshrink sqrt square sub tan tanh threshold true_divide
trunc where
"""
_OVER_AXES = """
all amax amin any argmax argmin cumsum frobenius_norm linalg_vector_norm log_softmax logsumexp max
mean min norm prod softmax std sum topk var var_mean
"""
_TAKEN_APART = """
_adaptive_avg_pool2d _log_softmax _native_batch_norm_legit _softmax _unsafe_view native_dropout
_scaled_dot_product_flash_attention_for_cpu
"""
_LAYERS = """
_native_batch_norm_legit_no_training adaptive_avg_pool1d adaptive_avg_pool2d adaptive_max_pool2d
addmm avg_pool1d avg_pool2d avg_pool3d baddbmm batch_norm bmm channel_shuffle conv1d conv2d conv3d
conv_transpose1d conv_transpose2d convolution cosine_similarity dropout einsum embedding
feature_dropout grid_sampler group_norm instance_norm layer_norm linalg_norm linear lstm gru
matmul max_pool1d max_pool2d max_pool2d_with_indices mm native_group_norm native_layer_norm
pixel_shuffle pixel_unshuffle rms_norm scaled_dot_product_attention upsample_bicubic2d
upsample_bilinear2d upsample_nearest2d
"""
_FORMS = """
_to_copy alias arange broadcast_to cat chunk clone constant_pad_nd contiguous detach expand
expand_as flatten flip full full_like gather index index_put index_select lift_fresh_copy movedim
narrow ones ones_like pad permute reflection_pad2d repeat repeat_interleave replicate_pad2d
reshape roll scalar_tensor scatter select slice slice_scatter split split_with_sizes squeeze stack
sym_numel sym_size sym_stride t tile to transpose tril triu type_as unbind unflatten unsafe_chunk
unsqueeze view view_as zeros zeros_like
"""

# Of numbers: sizes are reckoned with them.
NUMBERS = frozenset(_NUMBERS.split())
# What a program says of its tensors and sizes, and does nothing.
CLAIMS = frozenset(_CLAIMS.split())
# Of tensors, by their names in torch.ops.aten.
ALLOWED = frozenset(" ".join((_EACH_VALUE, _OVER_AXES, _LAYERS, _TAKEN_APART, _FORMS)).split())
