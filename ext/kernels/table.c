/* This level's table. */
#include "kernels.h"

#define NS_TEXT_(text) #text
#define NS_TEXT(text) NS_TEXT_(text)

ns_pack_mask_fn NS_NAME(pack_mask);
ns_unpack_mask_fn NS_NAME(unpack_mask);
ns_count_rows_fn NS_NAME(count_rows);
ns_pack_values_fn NS_NAME(pack_values);
ns_expand_fn NS_NAME(expand);
ns_expand_float_fn NS_NAME(expand_float);
ns_expand_half_fn NS_NAME(expand_half);
ns_tile_prepare_fn NS_NAME(tile_prepare);
ns_tile_matvec_fn NS_NAME(tile_matvec);
#if NS_ISA == 3
ns_tile_pairs_fn NS_NAME(tile_pairs);
ns_tile_matmul_fn NS_NAME(tile_matmul);
#endif
ns_retile_fn NS_NAME(retile);
ns_halve_fn NS_NAME(halve);
ns_widen_fn NS_NAME(widen);
ns_rms_norm_fn NS_NAME(rms_norm);
ns_rotate_fn NS_NAME(rotate);
ns_attend_fn NS_NAME(attend);
ns_gate_fn NS_NAME(gate);
ns_combine_fn NS_NAME(combine);
ns_curves_fn NS_NAME(curves);
ns_low_rank_add_fn NS_NAME(low_rank_add);
ns_low_rank_grad_fn NS_NAME(low_rank_grad);

extern const ns_table NS_NAME(table);

const ns_table NS_NAME(table) = {
    .name = NS_TEXT(NS_LEVEL),
    .pack_mask = NS_NAME(pack_mask),
    .unpack_mask = NS_NAME(unpack_mask),
    .count_rows = NS_NAME(count_rows),
    .pack_values = NS_NAME(pack_values),
    .expand = NS_NAME(expand),
    .expand_float = NS_NAME(expand_float),
    .expand_half = NS_NAME(expand_half),
    .tile_prepare = NS_NAME(tile_prepare),
    .tile_matvec = NS_NAME(tile_matvec),
#if NS_ISA == 3
    .tile_pairs = NS_NAME(tile_pairs),
    .tile_matmul = NS_NAME(tile_matmul),
#endif
    .retile = NS_NAME(retile),
    .halve = NS_NAME(halve),
    .widen = NS_NAME(widen),
    .rms_norm = NS_NAME(rms_norm),
    .rotate = NS_NAME(rotate),
    .attend = NS_NAME(attend),
    .gate = NS_NAME(gate),
    .combine = NS_NAME(combine),
    .curves = NS_NAME(curves),
    .low_rank_add = NS_NAME(low_rank_add),
    .low_rank_grad = NS_NAME(low_rank_grad),
};
