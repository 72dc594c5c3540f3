/* This level's table. A level that only adds some products to another (NS_SAME_AS) shares the rest. */
#include "kernels.h"

#define NS_TEXT_(text) #text
#define NS_TEXT(text) NS_TEXT_(text)

ns_pack_mask_fn NS_SHARED(pack_mask);
ns_unpack_mask_fn NS_SHARED(unpack_mask);
ns_count_rows_fn NS_SHARED(count_rows);
ns_pack_values_fn NS_SHARED(pack_values);
ns_expand_fn NS_SHARED(expand);
ns_expand_float_fn NS_SHARED(expand_float);
ns_expand_half_fn NS_SHARED(expand_half);
ns_tile_prepare_fn NS_SHARED(tile_prepare);
ns_tile_matvec_fn NS_NAME(tile_matvec);
#if NS_ISA == 3
ns_tile_pairs_fn NS_SHARED(tile_pairs);
ns_tile_matmul_fn NS_NAME(tile_matmul);
#endif
ns_retile_fn NS_SHARED(retile);
ns_halve_fn NS_SHARED(halve);
ns_widen_fn NS_SHARED(widen);
ns_rms_norm_fn NS_SHARED(rms_norm);
ns_rotate_fn NS_SHARED(rotate);
ns_attend_fn NS_SHARED(attend);
ns_gate_fn NS_SHARED(gate);
ns_combine_fn NS_SHARED(combine);
ns_curves_fn NS_SHARED(curves);
ns_low_rank_add_fn NS_SHARED(low_rank_add);
ns_low_rank_grad_fn NS_SHARED(low_rank_grad);
ns_settle_fn NS_SHARED(settle);

extern const ns_table NS_NAME(table);

const ns_table NS_NAME(table) = {
    .name = NS_TEXT(NS_LEVEL),
    .pack_mask = NS_SHARED(pack_mask),
    .unpack_mask = NS_SHARED(unpack_mask),
    .count_rows = NS_SHARED(count_rows),
    .pack_values = NS_SHARED(pack_values),
    .expand = NS_SHARED(expand),
    .expand_float = NS_SHARED(expand_float),
    .expand_half = NS_SHARED(expand_half),
    .tile_prepare = NS_SHARED(tile_prepare),
    .tile_matvec = NS_NAME(tile_matvec),
#if NS_ISA == 3
    .tile_pairs = NS_SHARED(tile_pairs),
    .tile_matmul = NS_NAME(tile_matmul),
#ifdef NS_UNIT
    .panel = NS_MOST_PANEL,
    .panel_words = NS_UNIT_WORDS,
    .few = NS_UNIT_FEW,
#else
    .panel = NS_PANEL,
    .panel_words = NS_PANEL_WORDS,
#endif
#endif
    .retile = NS_SHARED(retile),
    .halve = NS_SHARED(halve),
    .widen = NS_SHARED(widen),
    .rms_norm = NS_SHARED(rms_norm),
    .rotate = NS_SHARED(rotate),
    .attend = NS_SHARED(attend),
    .gate = NS_SHARED(gate),
    .combine = NS_SHARED(combine),
    .curves = NS_SHARED(curves),
    .low_rank_add = NS_SHARED(low_rank_add),
    .low_rank_grad = NS_SHARED(low_rank_grad),
    .settle = NS_SHARED(settle),
};
