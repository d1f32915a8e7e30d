BEGIN TRANSACTION;
CREATE TABLE hunyuan_corrections (
	basis TEXT NOT NULL, 
	model TEXT NOT NULL, 
	precision TEXT NOT NULL, 
	stage TEXT NOT NULL, 
	factor FLOAT NOT NULL, 
	spread FLOAT NOT NULL, 
	PRIMARY KEY (basis, model, precision, stage)
);
CREATE TABLE hunyuan_deliveries (
	id TEXT NOT NULL, 
	job_id TEXT NOT NULL, 
	event TEXT NOT NULL, 
	position INTEGER DEFAULT '0' NOT NULL, 
	owner TEXT DEFAULT '' NOT NULL, 
	receiver TEXT DEFAULT '' NOT NULL, 
	job JSON NOT NULL, 
	state TEXT NOT NULL, 
	in_vain BOOLEAN DEFAULT 0 NOT NULL, 
	attempts INTEGER NOT NULL, 
	last_status INTEGER, 
	last_error TEXT, 
	created_at BIGINT NOT NULL, 
	next_attempt_at BIGINT, 
	last_attempt_at BIGINT, 
	PRIMARY KEY (id), 
	FOREIGN KEY(job_id) REFERENCES hunyuan_jobs (id) ON DELETE CASCADE
);
INSERT INTO "hunyuan_deliveries" VALUES('18ec8182c3125876a13edbfc69f9-started','18ec8182c3125876a13edbfc69f9','started',2,'ana','127.0.0.1:9','{"id": "18ec8182c3125876a13edbfc69f9", "owner": "ana", "state": "in_progress", "model": "demo", "params": {"prompt": "completed", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795952750032, "started_at": 1795952750202, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-89eaaf9a8709", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795952750202, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1, "evaluations": 3, "denoise_flops": 215875584, "attention_flops": 3538944, "decode_flops": 286720000, "pixels": 4096}','delivered',0,1,204,NULL,1795952750226,NULL,1795952751043);
INSERT INTO "hunyuan_deliveries" VALUES('18ec8182c3125876a13edbfc69f9-1-completed','18ec8182c3125876a13edbfc69f9','completed',3,'ana','127.0.0.1:9','{"id": "18ec8182c3125876a13edbfc69f9", "owner": "ana", "state": "completed", "model": "demo", "params": {"prompt": "completed", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795952750032, "started_at": 1795952750202, "completed_at": 1795952750340, "expires_at": 4000000000000, "run": 1, "executor_id": null, "attempts": 1, "failed_starts": 0, "resumed_from_step": null, "stage": "publishing", "step": 5, "part": 0, "parts": 1, "progressed_at": 1795952750333, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1, "evaluations": 3, "denoise_flops": 215875584, "attention_flops": 3538944, "decode_flops": 286720000, "pixels": 4096}','pending',0,0,NULL,NULL,1795952750346,1795952750346,NULL);
INSERT INTO "hunyuan_deliveries" VALUES('18ec8182d70c128c7acf54ada1ba-started','18ec8182d70c128c7acf54ada1ba','started',2,'ana','127.0.0.1:9','{"id": "18ec8182d70c128c7acf54ada1ba", "owner": "ana", "state": "in_progress", "model": "demo", "params": {"prompt": "failed", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795952750367, "started_at": 1795952750383, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-89eaaf9a8709", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795952750383, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1, "evaluations": 3, "denoise_flops": 215875584, "attention_flops": 3538944, "decode_flops": 286720000, "pixels": 4096}','pending',1,1,NULL,'no answer in time',1795952750384,1795952756126,1795952751076);
INSERT INTO "hunyuan_deliveries" VALUES('18ec8182d70c128c7acf54ada1ba-1-failed','18ec8182d70c128c7acf54ada1ba','failed',3,'ana','127.0.0.1:9','{"id": "18ec8182d70c128c7acf54ada1ba", "owner": "ana", "state": "failed", "model": "demo", "params": {"prompt": "failed", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795952750367, "started_at": 1795952750383, "completed_at": 1795952750466, "expires_at": 4000000000000, "run": 1, "executor_id": null, "attempts": 1, "failed_starts": 0, "resumed_from_step": null, "stage": "denoising", "step": 2, "part": 0, "parts": 1, "progressed_at": 1795952750461, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": "broken", "error_message": "it broke", "clips": 1, "evaluations": 3, "denoise_flops": 215875584, "attention_flops": 3538944, "decode_flops": 286720000, "pixels": 4096}','pending',0,0,NULL,NULL,1795952750469,1795952750469,NULL);
INSERT INTO "hunyuan_deliveries" VALUES('18ec8182decbae576f7861fd2da5-started','18ec8182decbae576f7861fd2da5','started',2,'ana','127.0.0.1:9','{"id": "18ec8182decbae576f7861fd2da5", "owner": "ana", "state": "in_progress", "model": "demo", "params": {"prompt": "queued again by a retry", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795952750497, "started_at": 1795952750514, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-89eaaf9a8709", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795952750514, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1, "evaluations": 3, "denoise_flops": 215875584, "attention_flops": 3538944, "decode_flops": 286720000, "pixels": 4096}','failed',0,1,410,NULL,1795952750515,NULL,1795952751091);
INSERT INTO "hunyuan_deliveries" VALUES('18ec8182decbae576f7861fd2da5-1-failed','18ec8182decbae576f7861fd2da5','failed',3,'ana','127.0.0.1:9','{"id": "18ec8182decbae576f7861fd2da5", "owner": "ana", "state": "failed", "model": "demo", "params": {"prompt": "queued again by a retry", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795952750497, "started_at": 1795952750514, "completed_at": 1795952750557, "expires_at": 4000000000000, "run": 1, "executor_id": null, "attempts": 1, "failed_starts": 0, "resumed_from_step": null, "stage": "denoising", "step": 1, "part": 0, "parts": 1, "progressed_at": 1795952750545, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": "broken", "error_message": "it broke", "clips": 1, "evaluations": 3, "denoise_flops": 215875584, "attention_flops": 3538944, "decode_flops": 286720000, "pixels": 4096}','pending',0,0,NULL,NULL,1795952750558,1795952750558,NULL);
INSERT INTO "hunyuan_deliveries" VALUES('18ec8182e6f04f4d379fb0be1bc9-started','18ec8182e6f04f4d379fb0be1bc9','started',2,'ana','127.0.0.1:9','{"id": "18ec8182e6f04f4d379fb0be1bc9", "owner": "ana", "state": "in_progress", "model": "demo", "params": {"prompt": "paused with its draft", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795952750634, "started_at": 1795952750657, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-89eaaf9a8709", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795952750657, "has_preview": false, "draft_steps": 2, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1, "evaluations": 3, "denoise_flops": 215875584, "attention_flops": 3538944, "decode_flops": 286720000, "pixels": 4096}','pending',0,0,NULL,NULL,1795952750671,1795952750671,NULL);
INSERT INTO "hunyuan_deliveries" VALUES('18ec8182f366bf3260280c8f7401-started','18ec8182f366bf3260280c8f7401','started',2,'ana','127.0.0.1:9','{"id": "18ec8182f366bf3260280c8f7401", "owner": "ana", "state": "in_progress", "model": "demo", "params": {"prompt": "canceled while it was rendered", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795952750843, "started_at": 1795952750867, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-89eaaf9a8709", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795952750867, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1, "evaluations": 3, "denoise_flops": 215875584, "attention_flops": 3538944, "decode_flops": 286720000, "pixels": 4096}','pending',0,0,NULL,NULL,1795952750868,1795952750868,NULL);
INSERT INTO "hunyuan_deliveries" VALUES('18ec8182f366bf3260280c8f7401-1-canceled','18ec8182f366bf3260280c8f7401','canceled',3,'ana','127.0.0.1:9','{"id": "18ec8182f366bf3260280c8f7401", "owner": "ana", "state": "canceled", "model": "demo", "params": {"prompt": "canceled while it was rendered", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795952750843, "started_at": 1795952750867, "completed_at": 1795952750989, "expires_at": 5395952750993, "run": 1, "executor_id": "vm-89eaaf9a8709", "attempts": 1, "failed_starts": 0, "resumed_from_step": null, "stage": "denoising", "step": 3, "part": 0, "parts": 1, "progressed_at": 1795952750943, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1, "evaluations": 3, "denoise_flops": 215875584, "attention_flops": 3538944, "decode_flops": 286720000, "pixels": 4096}','pending',0,0,NULL,NULL,1795952750997,1795952750997,NULL);
INSERT INTO "hunyuan_deliveries" VALUES('18ec818304f6b9fce6023c0263ff-started','18ec818304f6b9fce6023c0263ff','started',2,'ana','127.0.0.1:9','{"id": "18ec818304f6b9fce6023c0263ff", "owner": "ana", "state": "in_progress", "model": "demo", "params": {"prompt": "pausing at step 1", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795952751138, "started_at": 1795952751165, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-89eaaf9a8709", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795952751165, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1, "evaluations": 3, "denoise_flops": 215875584, "attention_flops": 3538944, "decode_flops": 286720000, "pixels": 4096}','pending',0,0,NULL,NULL,1795952751166,1795952751166,NULL);
INSERT INTO "hunyuan_deliveries" VALUES('18ec81830afc188ea9c0125668b8-started','18ec81830afc188ea9c0125668b8','started',2,'','127.0.0.1:9','{"id": "18ec81830afc188ea9c0125668b8", "owner": "", "state": "in_progress", "model": "demo", "params": {"prompt": "running at step 3", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 2, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795952751239, "started_at": 1795952751278, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-a73f59fd2280", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795952751278, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1, "evaluations": 3, "denoise_flops": 215875584, "attention_flops": 3538944, "decode_flops": 286720000, "pixels": 4096}','pending',0,0,NULL,NULL,1795952751282,1795952751282,NULL);
INSERT INTO "hunyuan_deliveries" VALUES('18ec8183175d57487452402acf8d-1-canceled','18ec8183175d57487452402acf8d','canceled',3,'ana','127.0.0.1:9','{"id": "18ec8183175d57487452402acf8d", "owner": "ana", "state": "canceled", "model": "demo", "params": {"prompt": "canceled in the queue", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 0, "turn": 4, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795952751446, "started_at": null, "completed_at": 1795952751489, "expires_at": 5395952751490, "run": 1, "executor_id": null, "attempts": 0, "failed_starts": 0, "resumed_from_step": null, "stage": "queued", "step": 0, "part": 0, "parts": 1, "progressed_at": null, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1, "evaluations": 3, "denoise_flops": 215875584, "attention_flops": 3538944, "decode_flops": 286720000, "pixels": 4096}','pending',0,0,NULL,NULL,1795952751490,1795952751490,NULL);
INSERT INTO "hunyuan_deliveries" VALUES('18ec81831be0cd0473c1e7c568f5-1-canceled','18ec81831be0cd0473c1e7c568f5','canceled',3,'ana','127.0.0.1:9','{"id": "18ec81831be0cd0473c1e7c568f5", "owner": "ana", "state": "canceled", "model": "demo", "params": {"prompt": "canceled while it was paused", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 0, "turn": 4, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795952751522, "started_at": null, "completed_at": 1795952751577, "expires_at": 5395952751600, "run": 1, "executor_id": null, "attempts": 0, "failed_starts": 0, "resumed_from_step": null, "stage": "paused", "step": 0, "part": 0, "parts": 1, "progressed_at": null, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1, "evaluations": 3, "denoise_flops": 215875584, "attention_flops": 3538944, "decode_flops": 286720000, "pixels": 4096}','pending',0,0,NULL,NULL,1795952751602,1795952751602,NULL);
CREATE TABLE hunyuan_events (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	job_id TEXT NOT NULL, 
	run INTEGER NOT NULL, 
	change TEXT NOT NULL, 
	state TEXT NOT NULL, 
	stage TEXT, 
	step INTEGER NOT NULL, 
	part INTEGER DEFAULT '0' NOT NULL, 
	parts INTEGER DEFAULT '1' NOT NULL, 
	at BIGINT NOT NULL, 
	FOREIGN KEY(job_id) REFERENCES hunyuan_jobs (id) ON DELETE CASCADE
);
INSERT INTO "hunyuan_events" VALUES(1,'18ec8182c3125876a13edbfc69f9',1,'state','pending','queued',0,0,1,1795952750113);
INSERT INTO "hunyuan_events" VALUES(2,'18ec8182c3125876a13edbfc69f9',1,'state','in_progress','loading',0,0,1,1795952750212);
INSERT INTO "hunyuan_events" VALUES(3,'18ec8182c3125876a13edbfc69f9',1,'progress','in_progress','encoding',0,0,1,1795952750244);
INSERT INTO "hunyuan_events" VALUES(4,'18ec8182c3125876a13edbfc69f9',1,'progress','in_progress','denoising',0,0,1,1795952750263);
INSERT INTO "hunyuan_events" VALUES(5,'18ec8182c3125876a13edbfc69f9',1,'progress','in_progress','denoising',1,0,1,1795952750267);
INSERT INTO "hunyuan_events" VALUES(6,'18ec8182c3125876a13edbfc69f9',1,'progress','in_progress','denoising',2,0,1,1795952750290);
INSERT INTO "hunyuan_events" VALUES(7,'18ec8182c3125876a13edbfc69f9',1,'progress','in_progress','denoising',3,0,1,1795952750300);
INSERT INTO "hunyuan_events" VALUES(8,'18ec8182c3125876a13edbfc69f9',1,'progress','in_progress','denoising',4,0,1,1795952750305);
INSERT INTO "hunyuan_events" VALUES(9,'18ec8182c3125876a13edbfc69f9',1,'progress','in_progress','denoising',5,0,1,1795952750318);
INSERT INTO "hunyuan_events" VALUES(10,'18ec8182c3125876a13edbfc69f9',1,'progress','in_progress','decoding',5,0,1,1795952750328);
INSERT INTO "hunyuan_events" VALUES(11,'18ec8182c3125876a13edbfc69f9',1,'progress','in_progress','publishing',5,0,1,1795952750334);
INSERT INTO "hunyuan_events" VALUES(12,'18ec8182c3125876a13edbfc69f9',1,'state','completed','publishing',5,0,1,1795952750346);
INSERT INTO "hunyuan_events" VALUES(13,'18ec8182d70c128c7acf54ada1ba',1,'state','pending','queued',0,0,1,1795952750368);
INSERT INTO "hunyuan_events" VALUES(14,'18ec8182d70c128c7acf54ada1ba',1,'state','in_progress','loading',0,0,1,1795952750383);
INSERT INTO "hunyuan_events" VALUES(15,'18ec8182d70c128c7acf54ada1ba',1,'progress','in_progress','encoding',0,0,1,1795952750410);
INSERT INTO "hunyuan_events" VALUES(16,'18ec8182d70c128c7acf54ada1ba',1,'progress','in_progress','denoising',0,0,1,1795952750422);
INSERT INTO "hunyuan_events" VALUES(17,'18ec8182d70c128c7acf54ada1ba',1,'progress','in_progress','denoising',1,0,1,1795952750446);
INSERT INTO "hunyuan_events" VALUES(18,'18ec8182d70c128c7acf54ada1ba',1,'progress','in_progress','denoising',2,0,1,1795952750462);
INSERT INTO "hunyuan_events" VALUES(19,'18ec8182d70c128c7acf54ada1ba',1,'state','failed','denoising',2,0,1,1795952750470);
INSERT INTO "hunyuan_events" VALUES(20,'18ec8182decbae576f7861fd2da5',1,'state','pending','queued',0,0,1,1795952750498);
INSERT INTO "hunyuan_events" VALUES(21,'18ec8182decbae576f7861fd2da5',1,'state','in_progress','loading',0,0,1,1795952750515);
INSERT INTO "hunyuan_events" VALUES(22,'18ec8182decbae576f7861fd2da5',1,'progress','in_progress','encoding',0,0,1,1795952750529);
INSERT INTO "hunyuan_events" VALUES(23,'18ec8182decbae576f7861fd2da5',1,'progress','in_progress','denoising',0,0,1,1795952750538);
INSERT INTO "hunyuan_events" VALUES(24,'18ec8182decbae576f7861fd2da5',1,'progress','in_progress','denoising',1,0,1,1795952750546);
INSERT INTO "hunyuan_events" VALUES(25,'18ec8182decbae576f7861fd2da5',1,'state','failed','denoising',1,0,1,1795952750558);
INSERT INTO "hunyuan_events" VALUES(26,'18ec8182decbae576f7861fd2da5',2,'state','pending','queued',1,0,1,1795952750581);
INSERT INTO "hunyuan_events" VALUES(27,'18ec8182decbae576f7861fd2da5',2,'state','pending','paused',1,0,1,1795952750617);
INSERT INTO "hunyuan_events" VALUES(28,'18ec8182e6f04f4d379fb0be1bc9',1,'state','pending','queued',0,0,1,1795952750635);
INSERT INTO "hunyuan_events" VALUES(29,'18ec8182e6f04f4d379fb0be1bc9',1,'state','in_progress','loading',0,0,1,1795952750672);
INSERT INTO "hunyuan_events" VALUES(30,'18ec8182e6f04f4d379fb0be1bc9',1,'progress','in_progress','encoding',0,0,1,1795952750703);
INSERT INTO "hunyuan_events" VALUES(31,'18ec8182e6f04f4d379fb0be1bc9',1,'progress','in_progress','denoising',0,0,1,1795952750774);
INSERT INTO "hunyuan_events" VALUES(32,'18ec8182e6f04f4d379fb0be1bc9',1,'progress','in_progress','denoising',1,0,1,1795952750789);
INSERT INTO "hunyuan_events" VALUES(33,'18ec8182e6f04f4d379fb0be1bc9',1,'progress','in_progress','denoising',2,0,1,1795952750801);
INSERT INTO "hunyuan_events" VALUES(34,'18ec8182e6f04f4d379fb0be1bc9',1,'state','pending','paused',2,0,1,1795952750819);
INSERT INTO "hunyuan_events" VALUES(35,'18ec8182f366bf3260280c8f7401',1,'state','pending','queued',0,0,1,1795952750855);
INSERT INTO "hunyuan_events" VALUES(36,'18ec8182f366bf3260280c8f7401',1,'state','in_progress','loading',0,0,1,1795952750868);
INSERT INTO "hunyuan_events" VALUES(37,'18ec8182f366bf3260280c8f7401',1,'progress','in_progress','encoding',0,0,1,1795952750892);
INSERT INTO "hunyuan_events" VALUES(38,'18ec8182f366bf3260280c8f7401',1,'progress','in_progress','denoising',0,0,1,1795952750908);
INSERT INTO "hunyuan_events" VALUES(39,'18ec8182f366bf3260280c8f7401',1,'progress','in_progress','denoising',1,0,1,1795952750924);
INSERT INTO "hunyuan_events" VALUES(40,'18ec8182f366bf3260280c8f7401',1,'progress','in_progress','denoising',2,0,1,1795952750942);
INSERT INTO "hunyuan_events" VALUES(41,'18ec8182f366bf3260280c8f7401',1,'progress','in_progress','denoising',3,0,1,1795952750944);
INSERT INTO "hunyuan_events" VALUES(42,'18ec8182f366bf3260280c8f7401',1,'state','canceled','denoising',3,0,1,1795952750994);
INSERT INTO "hunyuan_events" VALUES(43,'18ec818304f6b9fce6023c0263ff',1,'state','pending','queued',0,0,1,1795952751139);
INSERT INTO "hunyuan_events" VALUES(44,'18ec818304f6b9fce6023c0263ff',1,'state','in_progress','loading',0,0,1,1795952751166);
INSERT INTO "hunyuan_events" VALUES(45,'18ec818304f6b9fce6023c0263ff',1,'progress','in_progress','encoding',0,0,1,1795952751190);
INSERT INTO "hunyuan_events" VALUES(46,'18ec818304f6b9fce6023c0263ff',1,'progress','in_progress','denoising',0,0,1,1795952751198);
INSERT INTO "hunyuan_events" VALUES(47,'18ec818304f6b9fce6023c0263ff',1,'progress','in_progress','denoising',1,0,1,1795952751209);
INSERT INTO "hunyuan_events" VALUES(48,'18ec818304f6b9fce6023c0263ff',1,'state','in_progress','denoising',1,0,1,1795952751223);
INSERT INTO "hunyuan_events" VALUES(49,'18ec81830afc188ea9c0125668b8',1,'state','pending','queued',0,0,1,1795952751239);
INSERT INTO "hunyuan_events" VALUES(50,'18ec81830afc188ea9c0125668b8',1,'state','in_progress','loading',0,0,1,1795952751281);
INSERT INTO "hunyuan_events" VALUES(51,'18ec81830afc188ea9c0125668b8',1,'progress','in_progress','denoising',0,0,1,1795952751312);
INSERT INTO "hunyuan_events" VALUES(52,'18ec81830afc188ea9c0125668b8',1,'progress','in_progress','denoising',1,0,1,1795952751325);
INSERT INTO "hunyuan_events" VALUES(53,'18ec81830afc188ea9c0125668b8',1,'progress','in_progress','denoising',2,0,1,1795952751342);
INSERT INTO "hunyuan_events" VALUES(54,'18ec81830afc188ea9c0125668b8',1,'progress','in_progress','denoising',3,0,1,1795952751349);
INSERT INTO "hunyuan_events" VALUES(55,'18ec8182decbae576f7861fd2da5',3,'state','pending','queued',1,0,1,1795952751375);
INSERT INTO "hunyuan_events" VALUES(56,'18ec8183143d2393f3f93601294b',1,'state','pending','queued',0,0,1,1795952751395);
INSERT INTO "hunyuan_events" VALUES(57,'18ec8183143d2393f3f93601294b',1,'state','pending','paused',0,0,1,1795952751424);
INSERT INTO "hunyuan_events" VALUES(58,'18ec8183175d57487452402acf8d',1,'state','pending','queued',0,0,1,1795952751447);
INSERT INTO "hunyuan_events" VALUES(59,'18ec8183175d57487452402acf8d',1,'state','canceled','queued',0,0,1,1795952751490);
INSERT INTO "hunyuan_events" VALUES(60,'18ec81831be0cd0473c1e7c568f5',1,'state','pending','queued',0,0,1,1795952751523);
INSERT INTO "hunyuan_events" VALUES(61,'18ec81831be0cd0473c1e7c568f5',1,'state','pending','paused',0,0,1,1795952751544);
INSERT INTO "hunyuan_events" VALUES(62,'18ec81831be0cd0473c1e7c568f5',1,'state','canceled','paused',0,0,1,1795952751602);
INSERT INTO "hunyuan_events" VALUES(63,'18ec8183237299eabe2ec8d3584c',1,'state','pending','queued',0,0,1,1795952751651);
INSERT INTO "hunyuan_events" VALUES(64,'18ec818323cf515199d1ac474bab',1,'state','pending','queued',0,0,1,1795952751656);
INSERT INTO "hunyuan_events" VALUES(65,'18ec818327e9b45b8ef5ac988b1b',1,'state','pending','queued',0,0,1,1795952751743);
INSERT INTO "hunyuan_events" VALUES(66,'18ec81832a3ff5fbf1a389adcf83',1,'state','pending','queued',0,0,1,1795952751764);
CREATE TABLE hunyuan_jobs (
	id TEXT NOT NULL, 
	owner TEXT DEFAULT '' NOT NULL, 
	state TEXT NOT NULL, 
	model TEXT NOT NULL, 
	params JSON NOT NULL, 
	metadata JSON NOT NULL, 
	priority INTEGER NOT NULL, 
	turn INTEGER DEFAULT '0' NOT NULL, 
	remixed_from TEXT, 
	seconds FLOAT, 
	webhook_url TEXT, 
	webhook_events JSON, 
	webhook_base TEXT, 
	created_at BIGINT NOT NULL, 
	started_at BIGINT, 
	completed_at BIGINT, 
	expires_at BIGINT, 
	run INTEGER NOT NULL, 
	executor_id TEXT, 
	attempts INTEGER NOT NULL, 
	failed_starts INTEGER NOT NULL, 
	resumed_from_step INTEGER, 
	stage TEXT, 
	step INTEGER NOT NULL, 
	part INTEGER DEFAULT '0' NOT NULL, 
	parts INTEGER DEFAULT '1' NOT NULL, 
	progressed_at BIGINT, 
	has_preview BOOLEAN NOT NULL, 
	draft_steps INTEGER, 
	has_draft BOOLEAN DEFAULT 0 NOT NULL, 
	pausing BOOLEAN DEFAULT 0 NOT NULL, 
	warnings JSON, 
	error_code TEXT, 
	error_message TEXT, 
	clips FLOAT NOT NULL, 
	evaluations FLOAT DEFAULT '0' NOT NULL, 
	denoise_flops FLOAT NOT NULL, 
	attention_flops FLOAT DEFAULT '0' NOT NULL, 
	decode_flops FLOAT NOT NULL, 
	pixels FLOAT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "hunyuan_jobs" VALUES('18ec8182c3125876a13edbfc69f9','ana','completed','demo','{"prompt": "completed", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{}',10,1,NULL,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]','',1795952750032,1795952750202,1795952750340,4000000000000,1,NULL,1,0,NULL,'publishing',5,0,1,1795952750333,0,NULL,0,0,NULL,NULL,NULL,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_jobs" VALUES('18ec8182d70c128c7acf54ada1ba','ana','failed','demo','{"prompt": "failed", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{}',10,1,NULL,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]','',1795952750367,1795952750383,1795952750466,4000000000000,1,NULL,1,0,NULL,'denoising',2,0,1,1795952750461,0,NULL,0,0,NULL,'broken','it broke',1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_jobs" VALUES('18ec8182decbae576f7861fd2da5','ana','pending','demo','{"prompt": "queued again by a retry", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{}',10,3,NULL,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]','',1795952750497,1795952750514,NULL,NULL,3,NULL,1,0,NULL,'queued',1,0,1,NULL,0,NULL,0,0,NULL,NULL,NULL,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_jobs" VALUES('18ec8182e6f04f4d379fb0be1bc9','ana','pending','demo','{"prompt": "paused with its draft", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{}',10,1,NULL,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]','',1795952750634,1795952750657,NULL,NULL,1,NULL,1,0,NULL,'paused',2,0,1,1795952750796,0,2,1,0,NULL,NULL,NULL,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_jobs" VALUES('18ec8182f366bf3260280c8f7401','ana','canceled','demo','{"prompt": "canceled while it was rendered", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{}',10,1,NULL,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]','',1795952750843,1795952750867,1795952750989,5395952750993,1,'vm-89eaaf9a8709',1,0,NULL,'denoising',3,0,1,1795952750943,0,NULL,0,0,NULL,NULL,NULL,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_jobs" VALUES('18ec818304f6b9fce6023c0263ff','ana','in_progress','demo','{"prompt": "pausing at step 1", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{}',10,1,NULL,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]','',1795952751138,1795952751165,NULL,NULL,1,'vm-89eaaf9a8709',1,0,NULL,'denoising',1,0,1,1795952751208,0,NULL,0,1,NULL,NULL,NULL,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_jobs" VALUES('18ec81830afc188ea9c0125668b8','','in_progress','demo','{"prompt": "running at step 3", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{}',10,2,NULL,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]','',1795952751239,1795952751278,NULL,NULL,1,'vm-a73f59fd2280',1,0,NULL,'denoising',3,0,1,1795952751348,0,NULL,0,0,NULL,NULL,NULL,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_jobs" VALUES('18ec8183143d2393f3f93601294b','ana','pending','demo','{"prompt": "paused in the queue", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{}',0,4,NULL,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]','',1795952751394,NULL,NULL,NULL,1,NULL,0,0,NULL,'paused',0,0,1,NULL,0,NULL,0,0,NULL,NULL,NULL,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_jobs" VALUES('18ec8183175d57487452402acf8d','ana','canceled','demo','{"prompt": "canceled in the queue", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{}',0,4,NULL,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]','',1795952751446,NULL,1795952751489,5395952751490,1,NULL,0,0,NULL,'queued',0,0,1,NULL,0,NULL,0,0,NULL,NULL,NULL,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_jobs" VALUES('18ec81831be0cd0473c1e7c568f5','ana','canceled','demo','{"prompt": "canceled while it was paused", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{}',0,4,NULL,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]','',1795952751522,NULL,1795952751577,5395952751600,1,NULL,0,0,NULL,'paused',0,0,1,NULL,0,NULL,0,0,NULL,NULL,NULL,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_jobs" VALUES('18ec8183237299eabe2ec8d3584c','ana','pending','demo','{"prompt": "queued", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{"scene": "7"}',0,4,NULL,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]','',1795952751649,NULL,NULL,NULL,1,NULL,0,0,NULL,'queued',0,0,1,NULL,0,NULL,0,0,NULL,NULL,NULL,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_jobs" VALUES('18ec818323cf515199d1ac474bab','bo','pending','demo','{"prompt": "queued", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{}',0,3,NULL,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]','',1795952751655,NULL,NULL,NULL,1,NULL,0,0,NULL,'queued',0,0,1,NULL,0,NULL,0,0,NULL,NULL,NULL,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_jobs" VALUES('18ec818327e9b45b8ef5ac988b1b','ana','pending','demo','{"prompt": "queued before the others", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{}',5,4,NULL,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]','',1795952751724,NULL,NULL,NULL,1,NULL,0,0,NULL,'queued',0,0,1,NULL,0,NULL,0,0,NULL,NULL,NULL,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_jobs" VALUES('18ec81832a3ff5fbf1a389adcf83','bo','pending','demo','{"prompt": "queued after the others", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{}',-5,4,NULL,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]','',1795952751763,NULL,NULL,NULL,1,NULL,0,0,NULL,'queued',0,0,1,NULL,0,NULL,0,0,NULL,NULL,NULL,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
CREATE TABLE hunyuan_lanes (
	owner TEXT NOT NULL, 
	priority INTEGER NOT NULL, 
	delay INTEGER NOT NULL, 
	PRIMARY KEY (owner, priority)
);
INSERT INTO "hunyuan_lanes" VALUES('ana',0,1);
CREATE TABLE hunyuan_passage (
	id INTEGER NOT NULL, 
	at BIGINT NOT NULL, 
	doubted BIGINT NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE hunyuan_queue (
	owner TEXT NOT NULL, 
	priority INTEGER NOT NULL, 
	stretch INTEGER NOT NULL, 
	model TEXT NOT NULL, 
	jobs INTEGER NOT NULL, 
	clips FLOAT NOT NULL, 
	evaluations FLOAT NOT NULL, 
	denoise_flops FLOAT NOT NULL, 
	attention_flops FLOAT NOT NULL, 
	decode_flops FLOAT NOT NULL, 
	pixels FLOAT NOT NULL, 
	PRIMARY KEY (owner, priority, stretch, model)
);
INSERT INTO "hunyuan_queue" VALUES('ana',10,0,'demo',1,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_queue" VALUES('ana',0,0,'demo',1,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_queue" VALUES('bo',0,0,'demo',1,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_queue" VALUES('ana',5,0,'demo',1,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_queue" VALUES('bo',-5,0,'demo',1,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
CREATE TABLE hunyuan_schema (
	version INTEGER NOT NULL, 
	PRIMARY KEY (version)
);
INSERT INTO "hunyuan_schema" VALUES(2);
CREATE TABLE hunyuan_secrets (
	name TEXT NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY (name)
);
CREATE TABLE hunyuan_submissions (
	"key" TEXT NOT NULL, 
	fingerprint TEXT NOT NULL, 
	job_id TEXT NOT NULL, 
	PRIMARY KEY ("key"), 
	FOREIGN KEY(job_id) REFERENCES hunyuan_jobs (id) ON DELETE CASCADE
);
INSERT INTO "hunyuan_submissions" VALUES('ana:key','fingerprint','18ec8183237299eabe2ec8d3584c');
CREATE TABLE hunyuan_workers (
	executor_id TEXT NOT NULL, 
	beat_at BIGINT NOT NULL, 
	profile JSON, 
	PRIMARY KEY (executor_id)
);
CREATE INDEX hunyuan_jobs_state ON hunyuan_jobs (state, id);
CREATE INDEX hunyuan_jobs_lane ON hunyuan_jobs (state, stage, owner, priority, turn, id);
CREATE INDEX hunyuan_jobs_of_owner ON hunyuan_jobs (owner, id);
CREATE INDEX hunyuan_jobs_of_owner_state ON hunyuan_jobs (owner, state, id);
CREATE INDEX hunyuan_jobs_expiry ON hunyuan_jobs (expires_at);
CREATE INDEX hunyuan_events_job ON hunyuan_events (job_id, number);
CREATE INDEX hunyuan_deliveries_next ON hunyuan_deliveries (next_attempt_at, owner, receiver);
CREATE INDEX hunyuan_deliveries_job ON hunyuan_deliveries (job_id);
CREATE INDEX hunyuan_submissions_job ON hunyuan_submissions (job_id);
CREATE TRIGGER hunyuan_queue_entered AFTER INSERT ON hunyuan_jobs BEGIN 
    INSERT INTO hunyuan_queue (owner, priority, stretch, model, jobs, clips, evaluations, denoise_flops, attention_flops, decode_flops, pixels)
    SELECT NEW.owner, NEW.priority, NEW.turn >> 6, NEW.model, 1,
        NEW.clips, NEW.evaluations, NEW.denoise_flops, NEW.attention_flops, NEW.decode_flops, NEW.pixels
    WHERE NEW.state = 'pending' AND NEW.stage = 'queued'
    ON CONFLICT (owner, priority, stretch, model) DO UPDATE
    SET jobs = hunyuan_queue.jobs + excluded.jobs, clips = hunyuan_queue.clips + excluded.clips, evaluations = hunyuan_queue.evaluations + excluded.evaluations, denoise_flops = hunyuan_queue.denoise_flops + excluded.denoise_flops, attention_flops = hunyuan_queue.attention_flops + excluded.attention_flops, decode_flops = hunyuan_queue.decode_flops + excluded.decode_flops, pixels = hunyuan_queue.pixels + excluded.pixels;
 END;
CREATE TRIGGER hunyuan_queue_moved AFTER UPDATE OF state, stage, turn ON hunyuan_jobs BEGIN 
    UPDATE hunyuan_queue
    SET jobs = jobs - 1, clips = clips - OLD.clips, evaluations = evaluations - OLD.evaluations, denoise_flops = denoise_flops - OLD.denoise_flops, attention_flops = attention_flops - OLD.attention_flops, decode_flops = decode_flops - OLD.decode_flops, pixels = pixels - OLD.pixels
    WHERE owner = OLD.owner AND priority = OLD.priority AND stretch = OLD.turn >> 6 AND model = OLD.model AND OLD.state = 'pending' AND OLD.stage = 'queued';
    DELETE FROM hunyuan_queue WHERE owner = OLD.owner AND priority = OLD.priority AND stretch = OLD.turn >> 6 AND model = OLD.model AND jobs = 0;

    INSERT INTO hunyuan_queue (owner, priority, stretch, model, jobs, clips, evaluations, denoise_flops, attention_flops, decode_flops, pixels)
    SELECT NEW.owner, NEW.priority, NEW.turn >> 6, NEW.model, 1,
        NEW.clips, NEW.evaluations, NEW.denoise_flops, NEW.attention_flops, NEW.decode_flops, NEW.pixels
    WHERE NEW.state = 'pending' AND NEW.stage = 'queued'
    ON CONFLICT (owner, priority, stretch, model) DO UPDATE
    SET jobs = hunyuan_queue.jobs + excluded.jobs, clips = hunyuan_queue.clips + excluded.clips, evaluations = hunyuan_queue.evaluations + excluded.evaluations, denoise_flops = hunyuan_queue.denoise_flops + excluded.denoise_flops, attention_flops = hunyuan_queue.attention_flops + excluded.attention_flops, decode_flops = hunyuan_queue.decode_flops + excluded.decode_flops, pixels = hunyuan_queue.pixels + excluded.pixels;
 END;
CREATE TRIGGER hunyuan_queue_left AFTER DELETE ON hunyuan_jobs BEGIN 
    UPDATE hunyuan_queue
    SET jobs = jobs - 1, clips = clips - OLD.clips, evaluations = evaluations - OLD.evaluations, denoise_flops = denoise_flops - OLD.denoise_flops, attention_flops = attention_flops - OLD.attention_flops, decode_flops = decode_flops - OLD.decode_flops, pixels = pixels - OLD.pixels
    WHERE owner = OLD.owner AND priority = OLD.priority AND stretch = OLD.turn >> 6 AND model = OLD.model AND OLD.state = 'pending' AND OLD.stage = 'queued';
    DELETE FROM hunyuan_queue WHERE owner = OLD.owner AND priority = OLD.priority AND stretch = OLD.turn >> 6 AND model = OLD.model AND jobs = 0;
 END;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('hunyuan_events',66);
COMMIT;
