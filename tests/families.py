"""Tiny configurations of every family that the tests know, each with what is particular about its attention."""

from typing import Any, NamedTuple


class Family(NamedTuple):
    """A tiny model: its row in the table of families, its configuration class and options, what is particular."""

    row: str
    config: str
    options: dict[str, Any]
    particular: str = ""


_SIZES = {
    "vocab_size": 256,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_GATED = {**_SIZES, "num_key_value_heads": 2}
#: Windows are shorter than every context of the tests.
_WINDOW = {**_GATED, "sliding_window": 4}
_ALTERNATING = {**_WINDOW, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}
_LATENT = {
    **_SIZES,
    "num_key_value_heads": 4,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 8,
    "v_head_dim": 12,
    "head_dim": 4,
}
_OLD = {"vocab_size": 256, "bos_token_id": 1, "eos_token_id": 2}
_GPT2 = {**_OLD, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64}
_OPT = {
    **_OLD,
    "hidden_size": 32,
    "word_embed_proj_dim": 16,
    "ffn_dim": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
_FALCON = {**_OLD, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "max_position_embeddings": 64}
_BLOOM = {**_OLD, "hidden_size": 32, "n_layer": 3, "n_head": 4}
_MPT = {**_OLD, "n_layers": 3, "max_seq_len": 64}
_LLAMA3_ROTARY = {
    "rope_type": "llama3",
    "rope_theta": 5e5,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
_GEMMA3_ROTARY = {
    "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
}

#: By a name of our own; the tests run all of them.
FAMILIES: dict[str, Family] = {
    "gpt2": Family("GPT-2", "GPT2Config", _GPT2, "learned positions"),
    "gpt_bigcode": Family("GPT-BigCode (StarCoder)", "GPTBigCodeConfig", _GPT2, "multi-query"),
    "gpt_neo": Family(
        "GPT-Neo",
        "GPTNeoConfig",
        {
            **_OLD,
            "hidden_size": 32,
            "num_layers": 3,
            "num_heads": 4,
            "attention_types": [[["global", "local", "global"], 1]],
            "window_size": 4,
            "max_position_embeddings": 64,
        },
        "unscaled scores, windows",
    ),
    "gptj": Family("GPT-J", "GPTJConfig", {**_GPT2, "rotary_dim": 4}, "partial rotary, parallel blocks"),
    "codegen": Family("CodeGen", "CodeGenConfig", {**_GPT2, "rotary_dim": 4}, "partial rotary, parallel blocks"),
    "gpt_neox": Family("GPT-NeoX, Pythia", "GPTNeoXConfig", _SIZES, "parallel blocks"),
    "gpt_neox_serial": Family(
        "GPT-NeoX, Pythia", "GPTNeoXConfig", {**_SIZES, "use_parallel_residual": False}, "serial blocks"
    ),
    "opt": Family("OPT", "OPTConfig", _OPT, "projected embeddings"),
    "opt_post": Family("OPT", "OPTConfig", {**_OPT, "do_layer_norm_before": False}, "no final norm (350m)"),
    "xglm": Family(
        "XGLM", "XGLMConfig",
        {**_OLD, "d_model": 32, "ffn_dim": 64, "num_layers": 3, "attention_heads": 4, "max_position_embeddings": 64},
        "sinusoidal positions",
    ),
    "biogpt": Family("BioGPT", "BioGptConfig", _SIZES, "learned positions"),
    "bloom": Family("BLOOM", "BloomConfig", _BLOOM, "ALiBi"),
    "falcon": Family("Falcon", "FalconConfig", _FALCON, "multi-query, parallel blocks"),
    "falcon_serial": Family("Falcon", "FalconConfig", {**_FALCON, "parallel_attn": False}, "serial blocks"),
    "falcon_new": Family(
        "Falcon", "FalconConfig", {**_FALCON, "new_decoder_architecture": True, "num_kv_heads": 2},
        "new decoder with two norms or one",
    ),
    "falcon_new_one_norm": Family(
        "Falcon", "FalconConfig",
        {**_FALCON, "new_decoder_architecture": True, "num_kv_heads": 2, "num_ln_in_parallel_attn": 1},
        "new decoder with two norms or one",
    ),
    "falcon_alibi": Family("Falcon", "FalconConfig", {**_FALCON, "alibi": True}, "ALiBi with one key head or all"),
    "falcon_alibi_serial": Family(
        "Falcon", "FalconConfig",
        {**_FALCON, "alibi": True, "multi_query": False, "parallel_attn": False, "bias": True},
        "ALiBi with one key head or all",
    ),
    "mpt": Family("MPT", "MptConfig", {**_MPT, "d_model": 32, "n_heads": 4}, "ALiBi"),
    "mpt_clipped": Family(
        "MPT", "MptConfig", {**_MPT, "d_model": 48, "n_heads": 6, "attn_config": {"clip_qkv": 0.5}},
        "clipped projections, six heads",
    ),
    "llama": Family("Llama", "LlamaConfig", _GATED, "grouped queries"),
    "llama3": Family(
        "Llama", "LlamaConfig",
        {**_GATED, "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True,
         "rope_parameters": _LLAMA3_ROTARY},
        "Llama 3 rotary, biases, tied head",
    ),
    "mistral": Family("Mistral, Ministral", "MistralConfig", _WINDOW, "windows"),
    "ministral": Family("Mistral, Ministral", "MinistralConfig", {**_ALTERNATING, "head_dim": 8}, "windows in some blocks"),
    "ministral3": Family("Mistral, Ministral", "Ministral3Config", {**_GATED, "head_dim": 8}, "scaled rotary"),
    "qwen2": Family("Qwen 2, 3", "Qwen2Config", _GATED, "biases"),
    "qwen3": Family("Qwen 2, 3", "Qwen3Config", {**_GATED, "head_dim": 16}, "normed queries and keys"),
    "qwen3_window": Family(
        "Qwen 2, 3", "Qwen3Config", {**_WINDOW, "head_dim": 16, "use_sliding_window": True, "max_window_layers": 1},
        "windows",
    ),
    "gemma": Family("Gemma 1–4, VaultGemma", "GemmaConfig", {**_GATED, "head_dim": 16}),
    "gemma2": Family(
        "Gemma 1–4, VaultGemma", "Gemma2Config",
        {**_ALTERNATING, "head_dim": 16, "attn_logit_softcapping": 2.0},
        "soft caps",
    ),
    "gemma3": Family(
        "Gemma 1–4, VaultGemma", "Gemma3TextConfig",
        {**_ALTERNATING, "head_dim": 16, "rope_parameters": _GEMMA3_ROTARY}, "windows, two rotary bases",
    ),
    "gemma4": Family(
        "Gemma 1–4, VaultGemma", "Gemma4TextConfig",
        {**_WINDOW, "layer_types": ["sliding_attention", "sliding_attention", "full_attention"], "head_dim": 16,
         "global_head_dim": 16, "hidden_size_per_layer_input": 0, "num_kv_shared_layers": 0,
         "vocab_size_per_layer_input": 256},
        "windows",
    ),
    "vaultgemma": Family("Gemma 1–4, VaultGemma", "VaultGemmaConfig", {**_WINDOW, "head_dim": 16}, "soft caps"),
    "phi": Family(
        "Phi", "PhiConfig", {**_GATED, "partial_rotary_factor": 0.5, "qk_layernorm": True},
        "partial rotary, parallel blocks, head with bias",
    ),
    "phi3": Family("Phi-3, Phi-4", "Phi3Config", _GATED, "fused projections"),
    "olmo": Family("OLMo 1–3", "OlmoConfig", {**_GATED, "clip_qkv": 0.5}, "clipped projections"),
    "olmo2": Family("OLMo 1–3", "Olmo2Config", _GATED, "norms after"),
    "olmo3": Family("OLMo 1–3", "Olmo3Config", _ALTERNATING, "windows"),
    "stablelm": Family("StableLM", "StableLmConfig", _GATED, "partial rotary"),
    "stablelm_parallel": Family(
        "StableLM", "StableLmConfig",
        {**_GATED, "use_parallel_residual": True, "qk_layernorm": True, "use_qkv_bias": True}, "parallel blocks",
    ),
    "starcoder2": Family("StarCoder 2", "Starcoder2Config", _WINDOW, "windows"),
    "granite": Family(
        "Granite", "GraniteConfig",
        {**_GATED, "logits_scaling": 4.0, "embedding_multiplier": 6.0, "residual_multiplier": 0.5,
         "attention_multiplier": 0.2},
        "scaled embeddings, residuals, scores and logits",
    ),
    "granite_swa": Family("Granite", "GraniteSWAConfig", {**_WINDOW, "attention_multiplier": 0.3}, "attention sinks"),
    "cohere": Family(
        "Cohere 1, 2", "CohereConfig", {**_GATED, "use_qk_norm": True, "logit_scale": 0.5},
        "parallel blocks, scaled tied head",
    ),
    "cohere2": Family("Cohere 1, 2", "Cohere2Config", {**_ALTERNATING, "logit_scale": 0.5}, "windows"),
    "glm": Family("GLM, GLM-4", "GlmConfig", {**_GATED, "head_dim": 8}, "partial rotary, fused projections"),
    "glm4": Family("GLM, GLM-4", "Glm4Config", {**_GATED, "head_dim": 8}, "four norms a block"),
    "smollm3": Family("SmolLM 3", "SmolLM3Config", {**_GATED, "no_rope_layers": [1, 0, 1]}, "blocks without rotary"),
    "exaone4": Family("EXAONE 4", "Exaone4Config", _ALTERNATING, "windows, blocks without rotary"),
    "nemotron": Family("Nemotron, Arcee, Apertus, Jais 2", "NemotronConfig", {**_GATED, "head_dim": 8}, "ungated"),
    "arcee": Family("Nemotron, Arcee, Apertus, Jais 2", "ArceeConfig", _GATED, "ungated"),
    "apertus": Family("Nemotron, Arcee, Apertus, Jais 2", "ApertusConfig", _GATED, "ungated"),
    "jais2": Family("Nemotron, Arcee, Apertus, Jais 2", "Jais2Config", _GATED, "ungated"),
    "persimmon": Family("Persimmon", "PersimmonConfig", _SIZES, "partial rotary"),
    "nanochat": Family("nanochat", "NanoChatConfig", {**_GATED, "final_logit_softcapping": 3.0}, "soft-capped logits"),
    "helium": Family("Helium, Hunyuan, Seed-OSS, ERNIE 4.5", "HeliumConfig", {**_GATED, "head_dim": 8}, "grouped queries"),
    "hunyuan": Family("Helium, Hunyuan, Seed-OSS, ERNIE 4.5", "HunYuanDenseV1Config", {**_GATED, "head_dim": 8}, "grouped queries"),
    "seed_oss": Family("Helium, Hunyuan, Seed-OSS, ERNIE 4.5", "SeedOssConfig", {**_GATED, "head_dim": 8}, "grouped queries"),
    "ernie4_5": Family("Helium, Hunyuan, Seed-OSS, ERNIE 4.5", "Ernie4_5Config", {**_GATED, "head_dim": 8}, "grouped queries"),
    "diffllama": Family("DiffLlama", "DiffLlamaConfig", _GATED, "two attentions a block"),
    "youtu": Family("Youtu, MiniCPM 3", "YoutuConfig", _LATENT, "latent attention"),
    "minicpm3": Family("Youtu, MiniCPM 3", "MiniCPM3Config", _LATENT, "latent attention"),
    "lfm2": Family(
        "LFM2", "Lfm2Config",
        {**_GATED, "layer_types": ["conv", "full_attention", "conv"], "block_auto_adjust_ff_dim": False},
        "short convolutions beside attention",
    ),
    "qwen3_5": Family(
        "Qwen 3.5", "Qwen3_5TextConfig",
        {**_GATED, "head_dim": 8, "layer_types": ["linear_attention", "linear_attention", "full_attention"],
         "linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 8,
         "linear_value_head_dim": 8},
        "gated delta rule beside attention",
    ),
}  # fmt: skip

#: Families with a recurrence that no adapter knows: the hooked forward runs them.
RECURRENT: dict[str, Family] = {
    "recurrent_gemma": Family(
        "RecurrentGemma", "RecurrentGemmaConfig",
        {**_GATED, "intermediate_size": 128, "attention_window_size": 4, "lru_width": 32}, "linear recurrence",
    ),
    "falcon_h1": Family(
        "Falcon-H1", "FalconH1Config",
        {**_GATED, "mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_n_groups": 1, "mamba_d_state": 8,
         "mamba_chunk_size": 8},
        "state space beside attention",
    ),
    "granite_hybrid": Family(
        "Granite 4 hybrid without experts", "GraniteMoeHybridConfig",
        {**_GATED, "num_local_experts": 0, "shared_intermediate_size": 64,
         "layer_types": ["mamba", "attention", "mamba"], "mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8,
         "mamba_n_groups": 1},
        "state space",
    ),
}  # fmt: skip

_EXPERTS = {**_GATED, "num_local_experts": 4}
_DEEPSEEK = {
    **_LATENT,
    "n_routed_experts": 4,
    "first_k_dense_replace": 1,
    "n_group": 1,
    "topk_group": 1,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
}
_SMALL_EXPERTS = {**_GATED, "num_experts": 4, "moe_intermediate_size": 16}

#: Models that cannot be swept: mixtures of experts.
EXPERTS: dict[str, Family] = {
    "mixtral": Family("", "MixtralConfig", _EXPERTS),
    "qwen2_moe": Family("", "Qwen2MoeConfig", {**_SMALL_EXPERTS, "shared_expert_intermediate_size": 16}),
    "qwen3_moe": Family("", "Qwen3MoeConfig", _SMALL_EXPERTS),
    "olmoe": Family("", "OlmoeConfig", {**_GATED, "num_experts": 4}),
    "phimoe": Family("", "PhimoeConfig", _EXPERTS),
    "gpt_oss": Family("", "GptOssConfig", {**_EXPERTS, "head_dim": 8}),
    "deepseek_v3": Family("", "DeepseekV3Config", _DEEPSEEK),
    "granitemoe": Family("", "GraniteMoeConfig", _EXPERTS),
    "hunyuan_v1_moe": Family("", "HunYuanMoEV1Config", {**_GATED, "num_experts": 4, "head_dim": 8}),
    "llama4_text": Family("", "Llama4TextConfig", {**_EXPERTS, "head_dim": 8, "intermediate_size_mlp": 64}),
    "jamba": Family("", "JambaConfig", {**_GATED, "num_experts": 4, "use_mamba_kernels": False}),
}

#: Models that cannot be swept: blocks without an MLP.
WITHOUT_MLP: dict[str, Family] = {
    "mamba": Family("", "MambaConfig", {"vocab_size": 256, "hidden_size": 32, "num_hidden_layers": 2}),
    "mamba2": Family(
        "", "Mamba2Config",
        {"vocab_size": 256, "hidden_size": 32, "num_hidden_layers": 2, "num_heads": 8, "head_dim": 8, "n_groups": 1,
         "state_size": 8},
    ),
    "falcon_mamba": Family("", "FalconMambaConfig", {"vocab_size": 256, "hidden_size": 32, "num_hidden_layers": 2}),
    "nemotron_h": Family(
        "", "NemotronHConfig",
        {**_GATED, "mamba_num_heads": 4, "mamba_head_dim": 8, "ssm_state_size": 8, "n_groups": 1},
    ),
}  # fmt: skip
